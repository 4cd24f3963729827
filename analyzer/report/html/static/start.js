// Everything in its order.
function start() {
  repaint();
  if (layers.length) {
    startNetwork();
    startLayer();
    startDepth();
    const linkedTo = fromLink();
    choose(linkedTo >= 0 ? linkedTo : mostTelling(), {link: false, show: linkedTo >= 0});
  }
  startBars();
  root.dataset.ready = 'yes';
  setTimeout(async () => {
    causes = await unzip('causes').json();
    if (chosen >= 0) listUnits();
  });
}

addEventListener('beforeprint', () => network && networkImage());
start();
