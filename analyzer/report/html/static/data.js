// What the page was made from: names and totals as JSON, numbers per unit as arrays; both zipped.
const TYPES = {uint8: Uint8Array, uint32: Uint32Array, float32: Float32Array};

let causes = {}; // per layer and unit; read when everything else is in place

const [report, numbers] = await Promise.all([unzip('names').json(), unzip('numbers').arrayBuffer()]);
const layers = report.layers;
layers.forEach((layer, index) => { layer.index = index; });
const arrays = {};
for (const [name, [type, start, size]] of Object.entries(report.arrays)) arrays[name] = new TYPES[type](numbers, start, size);

// Per unit of a layer: what `pick` makes of its position in the arrays; nothing when the page does not carry the layer.
function unitsOf(layer) {
  return layer.offset < 0 ? [] : Array.from({length: layer.units}, (_, unit) => unitOf(layer, unit));
}

function unitOf(layer, unit) {
  const at = layer.offset + unit, flags = arrays.verdict[at], cause = causes[layer.index]?.[unit];
  return {
    unit,
    verdict: flags & 7,
    evidence: ![ZERO, CONSTANT].includes(flags & 7) ? 0 : flags & STRUCTURAL ? 1 : flags & PROVEN ? 2 : flags & REFUTED ? 4 : 3,
    revived: (flags & REVIVED) > 0,
    locked: (flags & LOCKED) > 0,
    fired: layer.samples ? arrays.fired[at] / layer.samples : NaN,
    firedOn: arrays.fired[at],
    low: arrays.low[at],
    high: arrays.high[at],
    distance: arrays.distance ? arrays.distance[at] : NaN,
    value: layer.values?.[unit],
    cause,
  };
}

const fires = (layer) => layer.kind === 'rectifier' || layer.kind === 'smooth';

function evidenceOf(layer, one) {
  const seen = `on ${count(layer.samples, 'sample')}`;
  return ['', EVIDENCE[1], 'proven for the domain', report.domain ? `open, ${seen}` : seen, `${seen} only: an input moves it`][one.evidence];
}
