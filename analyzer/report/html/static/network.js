// The network as a picture: boxes where the report placed them, coloured by the share of dead units.
let network;

const BOX = {layer: [132, 44], input: [96, 30], output: [96, 30], join: [72, 28], other: [110, 28]};

function boxLabel([, , role, label, index]) {
  if (index < 0) return shortened(label, role === 'join' ? 9 : 15);
  const layer = layers[index];
  const dead = layer.dead ? `${percent(layer.dead / layer.units)} dead` : layer.samples || layer.structural ? 'none dead' : '';
  return `${shortened(layer.op.replace('Normalization', 'Norm'), 13)} · ${layer.units}${dead ? `\n${dead}` : ''}`;
}

// Bends as cytoscape wants them: along the straight line, and away from it.
function bends([a, b, ...flat], nodes) {
  const [x0, y0] = nodes[a], [dx, dy] = [nodes[b][0] - x0, nodes[b][1] - y0], size = Math.hypot(dx, dy) || 1;
  const weights = [], distances = [];
  for (let i = 0; i < flat.length; i += 2) {
    const [x, y] = [flat[i] - x0, flat[i + 1] - y0];
    weights.push((x * dx + y * dy) / (size * size));
    distances.push((y * dx - x * dy) / size);
  }
  return weights.length ? {weights, distances} : {};
}

// The colours of a box by the share of dead units of its layer.
function painter() {
  const scale = shareScale();
  return (index) => {
    if (index < 0) return {};
    const [fill, ink] = scale(layers[index].dead / Math.max(layers[index].units, 1));
    return {fill, ink};
  };
}

function repaintBoxes() {
  const painted = painter();
  network.batch(() => network.nodes('[layer >= 0]').forEach((node) => node.data(painted(node.data('layer')))));
}

function elements() {
  const {nodes, edges} = report.graph, painted = painter();
  return [
    ...nodes.map((node, i) => ({
      group: 'nodes', data: {id: `n${i}`, label: boxLabel(node), layer: node[4], width: BOX[node[2]][0], height: BOX[node[2]][1], ...painted(node[4])}, position: {x: node[0], y: node[1]},
      classes: node[2],
    })),
    ...edges.map((edge, i) => {
      const way = bends(edge, nodes);
      return {group: 'edges', data: {id: `e${i}`, source: `n${edge[0]}`, target: `n${edge[1]}`, ...way}, classes: way.weights ? 'bent' : ''};
    }),
  ];
}

function networkStyle() {
  const quiet = colour('quiet'), line = colour('line'), wire = isDark() ? '#4a5a6e' : '#aeb9c6';
  const straight = report.graph.nodes.length > 400 ? 'haystack' : 'straight';
  return [
    {selector: 'node', style: {
      shape: 'round-rectangle', width: 'data(width)', height: 'data(height)', label: 'data(label)', color: quiet,
      'background-color': colour('card'), 'border-width': 1, 'border-color': line, 'text-valign': 'center', 'text-halign': 'center',
      'font-size': 13, 'font-family': 'system-ui, sans-serif', 'text-wrap': 'wrap', 'line-height': 1.25, 'min-zoomed-font-size': 5,
    }},
    {selector: 'node[layer >= 0]', style: {
      'background-color': 'data(fill)', color: 'data(ink)', 'border-color': 'data(fill)',
    }},
    {selector: 'node.input, node.output', style: {'border-style': 'dashed', 'border-color': quiet, shape: 'round-rectangle'}},
    {selector: 'node.join', style: {'border-color': quiet}},
    {selector: 'edge', style: {
      width: 1.6, 'line-color': wire, 'curve-style': straight, 'target-arrow-shape': 'triangle', 'target-arrow-color': wire, 'arrow-scale': 0.8,
    }},
    {selector: 'edge.bent', style: {
      'curve-style': 'round-segments', 'segment-weights': 'data(weights)', 'segment-distances': 'data(distances)', 'segment-radii': 12,
      'edge-distances': 'node-position',
    }},
    {selector: '.faded', style: {opacity: 0.16}},
    {selector: 'node.chosen', style: {'border-width': 4, 'border-color': colour('accent'), 'z-index': 9}},
    {selector: 'node:active', style: {'overlay-opacity': 0.08}},
  ];
}

function nodeOf(index) {
  return network.nodes(`[layer = ${index}]`).first();
}

function inView(node) {
  const box = network.extent(), {x, y} = node.position();
  return x > box.x1 && x < box.x2 && y > box.y1 && y < box.y2;
}

function zoomTo(index) {
  const node = nodeOf(index), zoom = 1.05;
  if (node.empty()) return;
  const {x, y} = node.position();
  const view = {zoom, pan: {x: network.width() / 2 - zoom * x, y: network.height() / 2 - zoom * y}};
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) network.viewport(view);
  else network.animate(view, {duration: 180});
}

// The nearest layer in a direction; left and right follow the order of the network.
function neighbour(key) {
  if (key === 'ArrowLeft' || key === 'ArrowRight') return chosen + (key === 'ArrowRight' ? 1 : -1);
  const from = nodeOf(chosen).position(), down = key === 'ArrowDown' ? 1 : -1;
  let best = -1, least = Infinity;
  network.nodes('[layer >= 0]').forEach((node) => {
    const {x, y} = node.position(), away = (y - from.y) * down;
    const far = away + 2 * Math.abs(x - from.x);
    if (away > 10 && far < least) [best, least] = [node.data('layer'), far];
  });
  return best;
}

function zoomBy(factor) {
  network.zoom({level: network.zoom() * factor, renderedPosition: {x: network.width() / 2, y: network.height() / 2}});
}

function networkKeys(event) {
  const act = {'+': () => zoomBy(1.3), '=': () => zoomBy(1.3), '-': () => zoomBy(1 / 1.3), 0: () => network.fit(undefined, 16)}[event.key];
  if (act) act();
  else if (event.key.startsWith('Arrow')) {
    const next = neighbour(event.key);
    choose(next);
    if (network.zoom() > 0.5 && !nodeOf(chosen).empty()) network.center(nodeOf(chosen));
  } else return;
  event.preventDefault();
}

function startNetwork() {
  const box = byId('network'), large = report.graph.nodes.length > 400;
  network = cytoscape({
    container: box, elements: elements(), style: networkStyle(), layout: {name: 'preset'}, minZoom: 0.02, maxZoom: 3,
    autoungrabify: true, boxSelectionEnabled: false, textureOnViewport: large, hideEdgesOnViewport: large, selectionType: 'single',
  });
  network.fit(undefined, 16);
  if (network.zoom() > 1.25) network.zoom(1.25), network.center();
  network.userZoomingEnabled(false); // the wheel scrolls the page until the picture is chosen
  box.addEventListener('focus', () => network.userZoomingEnabled(true));
  box.addEventListener('blur', () => network.userZoomingEnabled(false));
  box.addEventListener('keydown', networkKeys);
  // Cytoscape remembers where its box lies on the page until it hears of a scroll, which a click can forestall.
  for (const press of ['mousedown', 'touchstart']) box.addEventListener(press, () => network.resize(), {capture: true, passive: true});
  network.on('tapstart', () => box.focus({preventScroll: true}));
  network.on('tap', 'node[layer >= 0]', (event) => choose(event.target.data('layer')));
  network.on('mouseover', 'node', (event) => { box.title = boxTitle(report.graph.nodes[Number(event.target.id().slice(1))]); });
  network.on('mouseout', 'node', () => box.removeAttribute('title'));
  byId('zoom-in').addEventListener('click', () => zoomBy(1.4));
  byId('zoom-out').addEventListener('click', () => zoomBy(1 / 1.4));
  byId('zoom-fit').addEventListener('click', () => network.fit(undefined, 16));
  byId('zoom-layer').addEventListener('click', () => zoomTo(chosen));
  onChoice((index) => {
    network.nodes('.chosen').removeClass('chosen');
    const node = nodeOf(index).addClass('chosen');
    if (!node.empty() && !inView(node)) network.center(node);
  });
  onFilter((fits) => network.batch(() => network.nodes().forEach((node) => {
    const index = node.data('layer'), all = fits.every(Boolean);
    node.toggleClass('faded', !all && !(index >= 0 && fits[index]));
  })));
  onRepaint(() => {
    repaintBoxes();
    network.style(networkStyle());
  });
  new ResizeObserver(() => network.resize()).observe(box);
}

function boxTitle([, , , label, index]) {
  if (index < 0) return label;
  const layer = layers[index];
  return `${layer.module ? `${layer.module}\n` : ''}${layer.value}\n${label}\n${layer.dead} of ${count(layer.units, 'unit')} dead`;
}

function networkImage() {
  byId('network-print').src = network.png({full: true, maxWidth: 2400, maxHeight: 1600, bg: '#ffffff'});
}
