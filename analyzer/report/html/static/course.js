// The slider over the runs: every unit as a square, painted as it is in the chosen run.
const [report, bytes] = await Promise.all([unzip('names').json(), unzip('states').arrayBuffer()]);
const states = new Uint8Array(bytes), {runs} = report, STRIPS_AT_ONCE = 40, ABSENT = 2;
const STATES = ['alive', 'dead', 'not there', 'dead on the data only', 'dead for every input']; // the last two over a domain
const isDead = (state) => state > 0 && state !== ABSENT;
let start = 0, run = runs.length - 1;
const strips = report.layers.map((layer) => {
  const strip = {...layer, start};
  start += layer.units * runs.length;
  return strip;
});
const stateOf = (strip, unit, when) => states[strip.start + when * strip.units + unit];

// What a unit is in the chosen run, after the run before it.
function painted(strip, unit) {
  const now = stateOf(strip, unit, run), before = run ? stateOf(strip, unit, run - 1) : now;
  if (now === ABSENT) return 'gone';
  return isDead(now) ? (before === 0 ? 'died' : 'dead') : isDead(before) ? 'revived' : 'alive';
}

// `dead in epoch 3 to epoch 5, alive in epoch 6`, as runs that follow one another.
function courseOf(strip, unit) {
  const parts = [];
  for (let from = 0; from < runs.length;) {
    const state = stateOf(strip, unit, from);
    let to = from;
    while (to + 1 < runs.length && stateOf(strip, unit, to + 1) === state) to += 1;
    parts.push(`${STATES[state]} in ${runs[from]}${to > from ? ` to ${runs[to]}` : ''}`);
    from = to + 1;
  }
  return parts.join(', ');
}

// Squares as large as fit into eight rows, from 3 to 13 pixels.
function sized(strip) {
  const width = strip.canvas.parentElement.clientWidth;
  const size = Math.max(3, Math.min(13, Math.floor(Math.sqrt((8 * width * 13) / Math.max(strip.units, 1)) / 2)));
  return {size, across: Math.max(1, Math.floor(width / size))};
}

function paint(strip) {
  if (!strip.canvas.parentElement.clientWidth) return;
  const {size, across} = sized(strip), scale = devicePixelRatio || 1, gap = size > 5 ? 2 : 1;
  const width = Math.min(across, strip.units) * size, height = Math.ceil(strip.units / across) * size;
  Object.assign(strip.canvas, {width: width * scale, height: height * scale});
  Object.assign(strip.canvas.style, {width: `${width}px`, height: `${height}px`});
  const sheet = strip.canvas.getContext('2d'), colours = {alive: colour('unit-alive'), dead: colour('unit-dead'), died: colour('v1'), revived: colour('v5')};
  const ink = colour('ink');
  sheet.scale(scale, scale);
  for (let unit = 0; unit < strip.units; unit += 1) {
    const what = painted(strip, unit), x = (unit % across) * size, y = Math.floor(unit / across) * size, side = size - gap;
    if (what === 'gone') continue;
    sheet.fillStyle = colours[what];
    sheet.fillRect(x, y, side, side);
    if (side > 6 && (what === 'died' || what === 'revived')) { // more than a colour: a frame, and a mark for what revived
      sheet.strokeStyle = ink;
      sheet.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
      if (what === 'revived') {
        sheet.fillStyle = colour('card');
        sheet.fillRect(x + side / 2 - 1.5, y + side / 2 - 1.5, 3, 3);
      }
    }
  }
}

function tell(strip) {
  const counts = {dead: 0, died: 0, revived: 0, alive: 0, gone: 0}, sure = STATES.map(() => 0);
  for (let unit = 0; unit < strip.units; unit += 1) {
    counts[painted(strip, unit)] += 1;
    sure[stateOf(strip, unit, run)] += 1;
  }
  const changes = [...STATES.slice(ABSENT + 1).map((what, i) => [what, sure[ABSENT + 1 + i]]), ...['died', 'revived'].map((what) => [what, counts[what]])]
    .filter(([, many]) => many).map(([what, many]) => `${many.toLocaleString('en')} ${what}`);
  const said = counts.gone ? 'not in this run' : [`${(counts.dead + counts.died).toLocaleString('en')} of ${count(strip.units, 'unit')} dead`, ...changes].join(', ');
  strip.said.textContent = said;
  strip.canvas.setAttribute('aria-label', `${strip.name}: ${said}`);
}

const inSight = new IntersectionObserver((seen) => {
  for (const {target, isIntersecting} of seen) {
    const strip = strips[target.dataset.strip];
    strip.inSight = isIntersecting;
    if (isIntersecting) paint(strip);
  }
}, {rootMargin: '300px'});

function add(strip, index) {
  const box = element('div', undefined, {class: 'strip', 'data-strip': index}), line = element('p');
  strip.canvas = element('canvas', undefined, {role: 'img'});
  strip.said = element('span', '', {class: 'quiet'});
  line.append(element('b', strip.name), ' ', strip.said);
  box.append(line, strip.canvas);
  byId('strips').append(box);
  strip.canvas.addEventListener('mousemove', ({offsetX, offsetY}) => {
    const {size, across} = sized(strip), unit = Math.floor(offsetY / size) * across + Math.floor(offsetX / size);
    strip.canvas.title = unit < strip.units ? `unit ${unit}: ${courseOf(strip, unit)}` : '';
  });
  tell(strip);
  paint(strip);
  inSight.observe(box);
}

function addMore() {
  const there = byId('strips').childElementCount;
  strips.slice(there, there + STRIPS_AT_ONCE).forEach((strip, i) => add(strip, there + i));
  byId('strips-more').hidden = byId('strips').childElementCount === strips.length;
}

function choose(wanted) {
  run = wanted;
  let died = 0, revived = 0;
  for (const strip of strips) {
    if (strip.canvas) tell(strip);
    if (strip.inSight) paint(strip);
    for (let unit = 0; unit < strip.units; unit += 1) {
      const what = painted(strip, unit);
      died += what === 'died';
      revived += what === 'revived';
    }
  }
  const since = run ? ` Since ${runs[run - 1]}: ${died.toLocaleString('en')} died, ${revived.toLocaleString('en')} revived.` : '';
  byId('run-said').textContent = `${runs[run]} (${run + 1} of ${runs.length}): ${report.dead[run].toLocaleString('en')} of ${count(report.units[run], 'unit')} dead.${since}`;
  byId('run').setAttribute('aria-valuetext', `${runs[run]}, ${run + 1} of ${runs.length}`);
  document.querySelector('[data-run][aria-current]')?.removeAttribute('aria-current');
  document.querySelector(`[data-run="${run}"]`)?.setAttribute('aria-current', 'true');
}

repaint();
if (strips.length) {
  addMore();
  choose(run);
  byId('run').addEventListener('input', ({target}) => choose(Number(target.value)));
  byId('strips-more').addEventListener('click', addMore);
  const again = () => strips.forEach((strip) => strip.inSight && paint(strip));
  onRepaint(again);
  new ResizeObserver(again).observe(byId('strips'));
  addEventListener('beforeprint', () => strips.forEach((strip) => strip.canvas && paint(strip)));
}
root.dataset.ready = 'yes';
