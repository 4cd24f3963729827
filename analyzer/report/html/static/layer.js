// One layer: what is known about it in words, and its units as a strip.
let strip;

const KINDS = {rectifier: 'ReLU-like', saturating: 'saturating', smooth: 'smooth', linear: 'no activation'};

function story(layer) {
  const parts = [];
  if (!layer.samples && !layer.dead) return 'Without data only the weights were looked at, and they decide no unit of this layer.';
  if (layer.dead) {
    const whole = layer.dead === layer.units;
    parts.push(`${whole ? `All ${count(layer.units, 'unit')}` : `${layer.dead.toLocaleString('en')} of ${count(layer.units, 'unit')}`} ${layer.dead === 1 && !whole ? 'is' : 'are'} dead${layer.constant ? `, ${layer.constant === layer.dead ? 'all' : `${layer.constant.toLocaleString('en')} of them`} stuck at a value that is not zero` : ''}.`);
    if (layer.structural) parts.push(layer.structural === layer.dead ? 'The weights alone decide it, for every input that stays finite on the way.' : `For ${layer.structural} of them the weights alone decide it.`);
    if (layer.proven) parts.push(`${layer.proven === layer.dead ? 'It is' : `${count(layer.proven, 'unit')} ${layer.proven === 1 ? 'is' : 'are'}`} proven for every input of the domain.`);
    if (layer.refuted) parts.push(`${layer.refuted === layer.dead ? 'Inputs' : `${count(layer.refuted, 'unit')} ${layer.refuted === 1 ? 'is' : 'are'} dead on the data only: inputs`} of the domain move ${layer.refuted === layer.dead ? 'all of them: they are dead on the data only' : layer.refuted === 1 ? 'it' : 'them'}.`);
    if (layer.bound) parts.push(`The others were never seen to move on ${count(layer.samples, 'sample')}: with 95 % confidence each is alive on less than ${layer.bound} of inputs like these.`.replace('The others', layer.structural || layer.proven || layer.refuted ? 'The others' : 'They'));
  } else parts.push('No unit is dead.');
  if (layer.near) parts.push(`${count(layer.near, 'unit')} hardly ever active.`);
  if (layer.saturated) parts.push(`${count(layer.saturated, 'unit')} almost always in the flat region.`);
  if (layer.on) parts.push(`${count(layer.on, 'unit')} never in the flat region: on this data no activation at all.`);
  if (layer.nonfinite) parts.push(`${count(layer.nonfinite, 'unit')} showed NaN or infinity.`);
  if (layer.revived) parts.push(`${count(layer.revived, 'dead unit')} woke up on the holdout.`);
  return parts.join(' ');
}

function causesOf(layer) {
  const box = byId('layer-causes');
  box.replaceChildren();
  if (!layer.diagnosis) return;
  const why = element('div'), list = element('ul');
  for (const [code, units] of layer.diagnosis.counts) {
    const line = element('li');
    line.append(element('b', code), `: ${count(units, 'unit')}, ${report.causes[code] ?? ''}`);
    list.append(line);
  }
  why.append(element('h3', 'Why'), list);
  box.append(why);
  if (layer.diagnosis.remedy.length) {
    const help = element('div'), steps = element('ul');
    steps.append(...layer.diagnosis.remedy.map((sentence) => element('li', sentence)));
    help.append(element('h3', 'What may help'), steps);
    box.append(help);
  }
}

function showLayer(index) {
  const layer = layers[index];
  byId('layer').hidden = false;
  byId('layer-title').textContent = layer.module || layer.value;
  byId('layer-facts').textContent = [`Layer ${index + 1} of ${layers.length}`, ...(layer.module ? [layer.value] : []), layer.op, KINDS[layer.kind], count(layer.units, 'unit'), `along axis ${layer.axis}`, `node ${layer.node}`].join(' · ');
  byId('layer-story').textContent = story(layer);
  causesOf(layer);
  byId('layer-before').disabled = index === 0;
  byId('layer-after').disabled = index === layers.length - 1;
  const locked = (layer.locked ?? []).map((entry) => `${count(entry.units.length, 'dead unit')} (${entry.range}) cannot go: ${entry.reason}${entry.detail ? `, ${entry.detail}` : ''}.`);
  byId('layer-locked').textContent = locked.slice(0, 8).join(' ') + (locked.length > 8 ? ` And ${locked.length - 8} more reasons.` : '');
  showLegend(layer);
  drawStrip?.();
  showUnits(layer);
}

function showLegend(layer) {
  const entries = (key, words, paint) => {
    const seen = new Map();
    for (const one of unitsOf(layer)) if (words[one[key]]) seen.set(one[key], (seen.get(one[key]) ?? 0) + 1);
    return [...seen].sort().map(([code, units]) => {
      const entry = element('li'), chip = element('i');
      chip.style.background = paint(code);
      entry.append(chip, `${words[code]} ${units.toLocaleString('en')}`);
      return entry;
    });
  };
  byId('legend').replaceChildren(...entries('verdict', VERDICTS, verdictColour), ...(report.domain ? entries('evidence', EVIDENCE, evidenceColour) : []));
}

function unitTip(layer, one) {
  const active = layer.samples && (fires(layer) ? `fires on ${one.firedOn.toLocaleString('en')} of ${count(layer.samples, 'sample')} (${percent(one.fired)})` : '');
  return tip(`Unit ${one.unit} – ${VERDICTS[one.verdict]}`, [
    evidenceOf(layer, one), active, Number.isNaN(one.high) ? '' : `maximum ${short(one.high)}`,
    one.value !== undefined && `always ${short(one.value)}`,
    !Number.isNaN(one.distance) && (one.distance > 0 ? `${short(one.distance)} sd ${layer.kind === 'saturating' ? 'inside the flat region' : 'below firing'}` : `${short(-one.distance)} sd beyond`),
    one.cause && `${one.cause[0]}: ${one.cause[1]}`, one.revived && 'woke up on the holdout', one.locked && 'locked: cannot be removed',
  ]);
}

// The rows of the strip that this layer has something for.
function stripRows(layer, units) {
  return [
    {name: 'verdict', value: () => 1, max: 1, height: 22, plain: true},
    report.domain && layer.dead && {name: 'evidence', value: (one) => (one.evidence ? 1 : null), max: 1, height: 14, plain: true, named: true, colour: (one) => evidenceColour(one.evidence)},
    fires(layer) && layer.samples && {name: 'fires on', value: (one) => one.fired, max: 1, height: 90, words: (v) => `${Math.round(v * 100)} %`},
    units.some((one) => !Number.isNaN(one.high)) && {name: 'maximum', value: (one) => (Number.isFinite(one.high) ? one.high : null), height: 90, words: short},
    units.some((one) => !Number.isNaN(one.distance)) && {name: layer.kind === 'saturating' ? 'inside the flat region, in sd' : 'below firing, in sd', value: (one) => (Number.isFinite(one.distance) ? one.distance : null), height: 90, words: short},
  ].filter(Boolean);
}

function inOrder(units) {
  const key = byId('strip-order').value;
  const rank = (one) => (Number.isNaN(one[key]) || one[key] === undefined ? Infinity : one[key]);
  return key === 'index' ? units : [...units].sort((a, b) => rank(a) - rank(b) || a.unit - b.unit);
}

function stripOptions() {
  const layer = layers[chosen];
  const units = inOrder(unitsOf(layer)), rowsShown = stripRows(layer, units), {axis, option} = base();
  const paint = VERDICTS.map((_, verdict) => verdictColour(verdict));
  const tops = rowsShown.reduce((found, row) => [...found, found[found.length - 1] + row.height + 38], [18]);
  const labels = units.map((one) => one.unit), many = units.length > 48;
  const height = tops[tops.length - 1] + (many ? 26 : 4);
  if (byId('strip').clientHeight !== height) byId('strip').style.height = `${height}px`;
  byId('strip').setAttribute('aria-label', `The units of ${layer.module || layer.value}: ${story(layer)}`);
  const all = rowsShown.map((_, i) => i);
  return {
    ...option,
    grid: rowsShown.map((row, i) => ({left: 64, right: 16, top: tops[i], height: row.height})),
    xAxis: rowsShown.map((_, i) => ({...axis, type: 'category', gridIndex: i, data: labels, axisLabel: {...axis.axisLabel, show: i === rowsShown.length - 1, hideOverlap: true}, splitLine: {show: false}})),
    yAxis: rowsShown.map((row, i) => ({...axis, type: 'value', gridIndex: i, max: row.max, splitNumber: 2, name: row.plain && !row.named ? '' : row.name, nameGap: 12, nameTextStyle: {...axis.nameTextStyle, align: 'left', padding: [0, 0, 0, -58]}, axisLabel: {...axis.axisLabel, show: !row.plain, formatter: row.words, fontSize: 11}, axisLine: {show: false}, splitLine: {show: !row.plain, lineStyle: {color: colour('soft')}}})),
    dataZoom: many ? [...zoom({xAxisIndex: all}), {type: 'inside', xAxisIndex: all, zoomOnMouseWheel: 'ctrl', moveOnMouseWheel: false}] : [],
    axisPointer: {link: [{xAxisIndex: 'all'}]},
    tooltip: {...option.tooltip, trigger: 'axis', axisPointer: {type: 'shadow', shadowStyle: {color: 'rgba(128,140,160,.22)'}}, formatter: ([{dataIndex}]) => unitTip(layer, units[dataIndex])},
    series: rowsShown.map((row, i) => ({
      type: 'bar', xAxisIndex: i, yAxisIndex: i, barCategoryGap: units.length > 300 ? '0%' : row.plain ? '8%' : '20%', barMaxWidth: 40, barMinHeight: 0,
      data: units.map(row.value), itemStyle: {color: ({dataIndex}) => row.colour?.(units[dataIndex]) ?? paint[units[dataIndex].verdict]},
    })),
  };
}

let drawStrip;

function startLayer() {
  byId('strip-order').querySelector('[value=distance]').hidden = !arrays.distance;
  const draw = chart('strip', () => (chosen < 0 || layers[chosen].offset < 0 ? null : stripOptions()));
  drawStrip = () => {
    byId('strip').hidden = byId('strip-bar').hidden = byId('units-box').hidden = layers[chosen].offset < 0;
    draw();
  };
  byId('strip-order').addEventListener('change', drawStrip);
  byId('layer-before').addEventListener('click', () => choose(chosen - 1));
  byId('layer-after').addEventListener('click', () => choose(chosen + 1));
  onRepaint(() => chosen >= 0 && showLegend(layers[chosen]));
  onChoice(showLayer);
}
