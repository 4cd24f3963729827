// Three pictures over the depth of the network, zoomed together.
const depthNames = () => layers.map((layer, i) => (layers.length > 16 ? String(i + 1) : `${i + 1}  ${shortened(layer.module || layer.value.split('/').slice(-1)[0] || layer.value, 14)}`));
const layerName = (i) => `${i + 1}. ${shortened(layers[i].module || layers[i].value, 60)}`;
const linked = [];

function depthAxes(top, names = depthNames()) {
  const {axis} = base(), many = layers.length > 30;
  return {
    grid: {left: 74, right: 22, top, bottom: many ? 52 : 30},
    xAxis: {...axis, type: 'category', data: names, splitLine: {show: false}, axisLabel: {...axis.axisLabel, hideOverlap: true}},
    dataZoom: many ? zoom() : [],
  };
}

function link(drawn) {
  linked.push(drawn);
  drawn.getZr().on('click', (event) => {
    const at = [event.offsetX, event.offsetY];
    if (!drawn.containPixel('grid', at)) return;
    choose(Math.round(drawn.convertFromPixel({gridIndex: 0}, at)[0]), {show: true});
  });
  for (const other of linked) other.group = 'depth';
  echarts.connect('depth');
}

const VERDICT_COUNTS = [[ZERO, (l) => l.dead - l.constant], [CONSTANT, (l) => l.constant], [NEAR_DEAD, (l) => l.near], [SATURATED, (l) => l.saturated],
  [NONFINITE, (l) => l.nonfinite], [ALIVE, (l) => l.units - l.dead - l.near - l.saturated - l.nonfinite - l.on], [ALWAYS_ON, (l) => l.on]];

function verdictOptions() {
  const {axis, option} = base();
  const present = VERDICT_COUNTS.filter(([, units]) => layers.some((layer) => units(layer) > 0));
  const share = (units, layer) => Math.max(units(layer), 0) / Math.max(layer.units, 1);
  return {
    ...option, ...depthAxes(34),
    legend: {...legendStyle(), data: present.map(([verdict]) => VERDICTS[verdict])},
    tooltip: {...option.tooltip, trigger: 'axis', axisPointer: {type: 'shadow', shadowStyle: {color: 'rgba(128,140,160,.18)'}}, formatter: ([{dataIndex: i}]) =>
      tip(layerName(i), present.map(([verdict, units]) => units(layers[i]) > 0 && `${VERDICTS[verdict]}: ${units(layers[i])} of ${layers[i].units} (${percent(share(units, layers[i]))})`))},
    yAxis: {...axis, type: 'value', max: 1, axisLabel: {...axis.axisLabel, formatter: (v) => `${Math.round(v * 100)} %`}},
    series: present.map(([verdict, units]) => ({
      name: VERDICTS[verdict], stack: 'all', color: verdictColour(verdict), data: layers.map((layer) => share(units, layer)),
      ...(layers.length > 150
        ? {type: 'line', step: 'middle', showSymbol: false, lineStyle: {width: 0}, areaStyle: {opacity: 1}}
        : {type: 'bar', barCategoryGap: '18%', barMaxWidth: 90}),
    })),
  };
}

function rateOptions() {
  const {axis, option} = base(), height = report.bins.length, data = [];
  const none = {visualMap: false, itemStyle: {color: colour('soft'), borderWidth: 0}};
  layers.forEach((layer, x) => {
    const leftOut = layers.length <= 300 && !arrays.bins.subarray(x * height, (x + 1) * height).some(Boolean);
    if (leftOut) for (let y = 0; y < height; y += 1) data.push({value: [x, y, 0, 0], ...none});
    for (let y = 0; y < height; y += 1) {
      const units = arrays.bins[x * height + y];
      if (units) data.push([x, y, Math.sqrt(units / layer.units), units / layer.units]);
    }
  });
  const axes = depthAxes(12);
  return {
    ...option, ...axes,
    grid: {...axes.grid, right: 92},
    tooltip: {...option.tooltip, formatter: ({value: [x, y, , share]}) => (!share ? tip(layerName(x), ['no activation, or nothing seen']) :
      tip(layerName(x), [`${percent(share)} of its units (${Math.round(share * layers[x].units)} of ${layers[x].units})`, y === 0 ? 'never active' : y === height - 1 ? 'active on every sample' : `active on ${report.bins[y]} of samples`]))},
    yAxis: {...axis, type: 'category', data: report.bins, splitLine: {show: false}},
    visualMap: {type: 'continuous', min: 0, max: 1, right: 0, top: 'middle', itemHeight: 150, itemWidth: 12, calculable: false, text: ['all units', 'none'],
      textStyle: {color: colour('quiet')}, inRange: {color: [colour('heat-0'), colour('heat-1')]}, dimension: 2},
    series: [{type: 'heatmap', data, progressive: 0, itemStyle: {borderWidth: layers.length > 60 ? 0 : 1, borderColor: colour('card')}}],
  };
}

function maximaOptions() {
  const {axis, option} = base();
  const leaveOut = layers.some((layer) => layer.kind !== 'linear');
  const part = (k) => layers.map((layer, i) => (leaveOut && layer.kind === 'linear' ? NaN : arrays.maxima[3 * i + k]));
  const tops = part(2).filter((v) => v > 0).sort((a, b) => a - b);
  const logarithmic = tops.length > 2 && tops[tops.length - 1] > 20 * tops[tops.length >> 1];
  const floor = logarithmic ? tops[0] / 10 : 0;
  const clean = (v) => (!Number.isFinite(v) ? null : logarithmic ? Math.max(v, floor) : v);
  const colours = [colour('v0'), colour('accent'), colour('v3')];
  return {
    ...option, ...depthAxes(34),
    legend: {...legendStyle(), icon: 'circle'},
    tooltip: {...option.tooltip, trigger: 'axis', formatter: ([{dataIndex: i}]) =>
      tip(layerName(i), ['largest', 'median', 'smallest'].map((name, k) => `${name}: ${short(arrays.maxima[3 * i + 2 - k])}`))},
    yAxis: {...axis, type: logarithmic ? 'log' : 'value', axisLabel: {...axis.axisLabel, formatter: (v) => (logarithmic && v <= floor ? '≤ ' : '') + short(v)}},
    series: ['largest', 'median', 'smallest'].map((name, k) => ({
      name, type: 'line', symbolSize: 6, showSymbol: layers.length <= 60, sampling: 'average', connectNulls: true, data: part(2 - k).map(clean), color: [colours[2], colours[1], colours[0]][k],
      lineStyle: {width: layers.length > 300 ? 1 : name === 'median' ? 2.4 : 1.4},
    })),
  };
}

function startDepth() {
  chart('depth-verdicts', verdictOptions, link);
  chart('depth-rates', rateOptions, link);
  chart('depth-maxima', maximaOptions, link);
}

// Bars in the sections below: locked units by reason, and what a prune left.
function startBars() {
  const found = [...document.querySelectorAll('[data-reason]')].map((one) => [one.dataset.reason, Number(one.dataset.units)]).reverse();
  if (byId('reasons')) byId('reasons').style.height = `${found.length * 28 + 34}px`;
  chart('reasons', () => bars(found, (v) => count(v, 'unit'), 'v3'));
  const sizes = [...document.querySelectorAll('#pruned .sizes tbody tr')].map((row) => [row.cells[0].textContent, parseFloat(row.cells[3].textContent.replace(/[<>]/, ''))]).reverse();
  if (byId('sizes')) byId('sizes').style.height = `${Math.max(sizes.length, 1) * 30 + 34}px`;
  chart('sizes', () => bars(sizes, (v) => `${v} % left`, 'v5', Math.max(100, ...sizes.map(([, left]) => left))));
}

function bars(pairs, words, paint, most) {
  const {axis, option} = base();
  return {
    ...option, grid: {left: 4, right: 84, top: 4, bottom: 4, containLabel: true}, tooltip: {show: false},
    xAxis: {...axis, type: 'value', max: most, show: false}, yAxis: {...axis, type: 'category', data: pairs.map(([name]) => name), axisLabel: {...axis.axisLabel, color: colour('ink'), fontSize: 13}},
    series: [{type: 'bar', data: pairs.map(([, value]) => value), barWidth: 14, itemStyle: {color: colour(paint), borderRadius: 4}, showBackground: Boolean(most), backgroundStyle: {color: colour('soft'), borderRadius: 4},
      label: {show: true, position: 'right', color: colour('quiet'), formatter: ({value}) => words(value)}}],
  };
}
