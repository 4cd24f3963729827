// The units of the chosen layer one by one, as a table that grows on demand.
const PAGE = 200;
let listed = [], unitsShown = 0;

const UNIT_COLUMNS = [
  ['Unit', 'number', (one) => one.unit],
  ['Verdict', 'text', (one) => VERDICTS[one.verdict]],
  ['Evidence', 'text', (one, layer) => evidenceOf(layer, one)],
  ['Fires on', 'number', (one, layer) => (fires(layer) && layer.samples ? percent(one.fired) : '–')],
  ['Minimum', 'number', (one) => short(one.low)],
  ['Maximum', 'number', (one) => short(one.high)],
  ['Distance', 'number', (one) => (Number.isNaN(one.distance) ? '–' : `${short(one.distance)} sd`)],
  ['Remarks', 'text', (one) => remarks(one)],
];

function remarks(one) {
  return [one.cause && `${one.cause[0]}: ${one.cause[1]}`, one.cause?.[2] && `root: ${one.cause[2]}`, one.locked && 'locked', one.revived && 'woke up on the holdout'].filter(Boolean).join('; ');
}

function shownColumns() {
  return UNIT_COLUMNS.filter(([name]) => name !== 'Distance' || arrays.distance);
}

function showUnits(layer) {
  const units = unitsOf(layer), found = [...new Set(units.map((one) => one.verdict))].sort();
  const options = [['all', 'all units'], ...found.map((verdict) => [String(verdict), VERDICTS[verdict]])];
  for (const evidence of [2, 3, 4]) if (report.domain && units.some((one) => one.evidence === evidence)) options.push([`e${evidence}`, EVIDENCE[evidence]]);
  if (units.some((one) => one.locked)) options.push(['locked', 'locked']);
  byId('units-filter').replaceChildren(...options.map(([value, text]) => element('option', text, {value})));
  listUnits();
}

function listUnits() {
  if (chosen < 0 || !byId('units-box').open) return;
  const layer = layers[chosen], wanted = byId('units-filter').value;
  listed = unitsOf(layer).filter((one) => wanted === 'all' || (wanted === 'locked' ? one.locked : wanted.startsWith('e') ? one.evidence === Number(wanted[1]) : one.verdict === Number(wanted)));
  unitsShown = 0;
  const head = element('tr');
  head.append(...shownColumns().map(([name, kind]) => element('th', name, {class: kind, scope: 'col'})));
  byId('units').tHead.replaceChildren(head);
  byId('units').tBodies[0].replaceChildren();
  moreUnits();
}

function moreUnits() {
  const layer = layers[chosen], next = listed.slice(unitsShown, unitsShown + PAGE);
  byId('units').tBodies[0].append(...next.map((one) => unitRow(layer, one)));
  unitsShown += next.length;
  byId('units-more').hidden = unitsShown >= listed.length;
  byId('units-shown').textContent = unitsShown < listed.length ? `${unitsShown} of ${count(listed.length, 'unit')}` : count(listed.length, 'unit');
}

function unitRow(layer, one) {
  const row = element('tr');
  row.append(...shownColumns().map(([name, kind, pick]) => {
    const cell = element('td', String(pick(one, layer)), {class: kind});
    if (name === 'Verdict' || (name === 'Evidence' && report.domain && one.evidence)) {
      const chip = element('i', '', {class: 'chip'});
      chip.style.background = name === 'Verdict' ? verdictColour(one.verdict) : evidenceColour(one.evidence);
      chip.style.opacity = 1;
      cell.prepend(chip);
    }
    return cell;
  }));
  return row;
}

byId('units-filter').addEventListener('change', listUnits);
byId('units-more').addEventListener('click', moreUnits);
byId('units-box').addEventListener('toggle', listUnits);
onRepaint(listUnits);
