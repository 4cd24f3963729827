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
}

let themeBefore = 'auto';
addEventListener('beforeprint', () => {
  themeBefore = root.dataset.theme;
  setTheme('light');
  if (network) networkImage();
});
addEventListener('afterprint', () => setTheme(themeBefore));
start();
