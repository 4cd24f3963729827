// Which layer is looked at: one place to change it, everyone else listens.
let chosen = -1;
const listeners = [];

const onChoice = (listen) => listeners.push(listen);

function choose(index, {show = false, link = true} = {}) {
  if (!(index >= 0 && index < layers.length)) return;
  const changed = index !== chosen;
  chosen = index;
  if (link) history.replaceState(null, '', `#layer-${index}`);
  if (changed) for (const listen of listeners) listen(index, link || show);
  if (show) byId('layer').scrollIntoView({block: 'start'});
}

function fromLink() {
  const found = /^#layer-(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) : -1;
}

// The layer that tells most: the largest share of dead units, then of near-dead or saturated ones.
function mostTelling() {
  if (report.worst >= 0) return report.worst;
  const score = (layer) => (layer.dead + 0.01 * (layer.near + layer.saturated)) / Math.max(layer.units, 1);
  return layers.reduce((best, layer, index) => (score(layer) > score(layers[best]) + 1e-9 ? index : best), 0);
}

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href^="#layer-"]');
  if (!link || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  choose(Number(link.getAttribute('href').slice(7)), {show: !link.closest('#table')});
});
addEventListener('hashchange', () => choose(fromLink(), {show: true, link: false}));
