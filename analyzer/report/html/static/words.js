// Words, numbers and small pieces of the page. Names from the model only ever become text, never markup.
const VERDICTS = ['alive', 'dead (zero)', 'dead (constant)', 'near-dead', 'saturated', 'always on', 'NaN or infinity'];
const [ALIVE, ZERO, CONSTANT, NEAR_DEAD, SATURATED, ALWAYS_ON, NONFINITE] = [0, 1, 2, 3, 4, 5, 6];
const [STRUCTURAL, REVIVED, LOCKED, PROVEN, REFUTED] = [8, 16, 32, 64, 128];
const EVIDENCE = ['', 'by the weights', 'proven', 'open', 'refuted']; // of dead units, over a domain

const byId = (id) => document.getElementById(id);

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// What an element holds as base64 of gzip.
function unzip(id) {
  const text = atob(byId(id).textContent), zipped = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) zipped[i] = text.charCodeAt(i);
  return new Response(new Blob([zipped]).stream().pipeThrough(new DecompressionStream('gzip')));
}

const count = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

function percent(share) {
  if (!share) return '0 %';
  if (share < 0.001) return '< 0.1 %';
  if (share > 0.999 && share < 1) return '> 99.9 %';
  if (share < 0.1) return `${Number((share * 100).toPrecision(3))} %`;
  const tenths = Math.round(share * 1000), tie = (share * 1000) % 1 === 0.5; // ties go to the even digit, as in the tables
  return `${(tie && tenths % 2 ? tenths - 1 : tenths) / 10} %`;
}

function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return '–';
  if (!Number.isFinite(number)) return number > 0 ? '∞' : '−∞';
  const size = Math.abs(number);
  return size !== 0 && (size >= 1e5 || size < 1e-3) ? number.toExponential(1) : String(Number(number.toPrecision(3)));
}

function shortened(name, width) {
  const keep = width - 1, head = Math.floor(keep / 3);
  return name.length <= width ? name : `${name.slice(0, head)}…${name.slice(name.length - (keep - head))}`;
}

// A tooltip as an element: a heading and lines.
function tip(heading, lines) {
  const box = element('div', undefined, {class: 'tip'});
  box.append(element('b', heading), ...lines.filter(Boolean).map((line) => element('div', line)));
  return box;
}
