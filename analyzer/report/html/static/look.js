// Light and dark, colours from the style sheet, and charts that follow them.
const root = document.documentElement;
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const repainters = [];
const charts = new Map();

const isDark = () => root.dataset.theme === 'dark' || (root.dataset.theme === 'auto' && prefersDark.matches);
const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const verdictColour = (verdict) => colour(`v${verdict}`);
const evidenceColour = (evidence) => (evidence ? colour(`e${evidence}`) : 'transparent');

function repaint() {
  byId('theme').textContent = isDark() ? 'Light' : 'Dark';
  for (const again of repainters) again();
}

function setTheme(theme) {
  root.dataset.theme = theme;
  repaint();
}

function onRepaint(paint) {
  repainters.push(paint);
}

byId('theme').addEventListener('click', () => setTheme(isDark() ? 'light' : 'dark'));
prefersDark.addEventListener('change', repaint);
let themeBefore = 'auto';
addEventListener('beforeprint', () => {
  themeBefore = root.dataset.theme;
  setTheme('light');
});
addEventListener('afterprint', () => setTheme(themeBefore));
byId('print').addEventListener('click', () => print());

const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));
const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// The colour of a share of dead units, and one to write on it.
function shareScale() {
  const stops = [[0, 'share-0'], [0.25, 'share-1'], [0.6, 'share-2'], [1, 'share-3']].map(([at, name]) => [at, channels(colour(name))]);
  const ink = colour('ink'), dark = isDark();
  return (share) => {
    if (share <= 0) return [`rgb(${stops[0][1]})`, ink];
    const next = stops.findIndex(([at]) => at >= share), [low, high] = [stops[Math.max(next - 1, 0)], stops[Math.max(next, 1)]];
    const here = mix(low[1], high[1], (share - low[0]) / (high[0] - low[0]));
    return [`rgb(${here})`, share > (dark ? 0.05 : 0.45) ? '#ffffff' : ink];
  };
}

// A chart that is drawn when it comes into view, and again when the colours change. `options` is asked each time.
function chart(id, options, ready) {
  const box = byId(id);
  if (!box) return;
  const draw = () => {
    if (!box.clientWidth) return;
    const drawn = charts.get(id) ?? echarts.init(box, null, {renderer: 'canvas'});
    const first = !charts.has(id);
    charts.set(id, drawn);
    const wanted = options();
    if (wanted) drawn.setOption(wanted, {notMerge: true});
    drawn.resize();
    if (first && ready) ready(drawn);
  };
  const watcher = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) {
      watcher.disconnect();
      draw();
    }
  }, {rootMargin: '200px'});
  watcher.observe(box);
  onRepaint(() => charts.has(id) && draw());
  new ResizeObserver(() => charts.get(id)?.resize()).observe(box);
  addEventListener('beforeprint', () => onPaper(box, options));
  return draw;
}

// For paper every chart is drawn anew, whether it was seen or not, at a width that a page has; a picture takes its place.
const PAPER_WIDTH = 700;
function onPaper(box, options) {
  const wanted = box.clientWidth ? options() : null;
  if (!wanted) return;
  const sheet = echarts.init(element('div'), null, {renderer: 'canvas', width: PAPER_WIDTH, height: box.clientHeight});
  sheet.setOption({...wanted, animation: false});
  const picture = box.nextElementSibling?.matches('.chart-print') ? box.nextElementSibling : element('img', '', {class: 'chart-print', alt: ''});
  picture.src = sheet.getDataURL({pixelRatio: 2, backgroundColor: '#ffffff'});
  box.after(picture);
  box.classList.add('screen-only');
  sheet.dispose();
}

// What all charts share.
function base() {
  const quiet = colour('quiet'), line = colour('line');
  const axis = {
    axisLine: {lineStyle: {color: line}}, axisTick: {show: false}, axisLabel: {color: quiet, fontSize: 12},
    splitLine: {lineStyle: {color: colour('soft')}}, nameTextStyle: {color: quiet, fontSize: 12},
  };
  return {
    axis,
    option: {
      animation: false,
      textStyle: {fontFamily: 'system-ui, sans-serif', color: colour('ink')},
      tooltip: {
        backgroundColor: colour('card'), borderColor: line, textStyle: {color: colour('ink'), fontSize: 13}, confine: true,
        axisPointer: {lineStyle: {color: quiet}, shadowStyle: {color: 'rgba(128,140,160,.15)'}},
      },
    },
  };
}

const legendStyle = () => ({textStyle: {color: colour('quiet')}, itemWidth: 11, itemHeight: 11, itemGap: 16, top: 0, left: 0, icon: 'roundRect'});

function zoom(extra = {}) {
  return [
    {type: 'slider', height: 16, bottom: 4, brushSelect: false, borderColor: colour('line'), fillerColor: 'rgba(110,140,190,.2)',
      textStyle: {color: colour('quiet')}, showDataShadow: false, ...extra},
  ];
}
