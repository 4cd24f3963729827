// The table of layers: sorting, searching, choosing by mouse and keyboard.
const tableBody = document.querySelector('#table tbody');
const rows = [...tableBody.rows];
const searchBox = byId('search'), filterBox = byId('filter');
const searchable = layers.map((layer) => `${layer.module} ${layer.value} ${layer.node} ${layer.op}`.toLowerCase());
const sortKeys = {
  index: (i) => i, value: (i) => layers[i].module || layers[i].value, op: (i) => layers[i].op, units: (i) => layers[i].units, dead: (i) => layers[i].dead,
  share: (i) => layers[i].dead / Math.max(layers[i].units, 1), near_dead: (i) => layers[i].near, saturated: (i) => layers[i].saturated,
  always_on: (i) => layers[i].on, nonfinite: (i) => layers[i].nonfinite, revived: (i) => layers[i].revived ?? 0, proven: (i) => layers[i].proven, refuted: (i) => layers[i].refuted, locked: (i) => lockedIn(layers[i]),
};
const shownWhere = {
  all: () => true, dead: (layer) => layer.dead > 0, whole: (layer) => layer.units > 0 && layer.dead === layer.units,
  near_dead: (layer) => layer.near > 0, saturated: (layer) => layer.saturated > 0, always_on: (layer) => layer.on > 0,
  proven: (layer) => layer.proven > 0, refuted: (layer) => layer.refuted > 0, nonfinite: (layer) => layer.nonfinite > 0, revived: (layer) => layer.revived > 0, locked: (layer) => lockedIn(layer) > 0,
};
const ROWS_AT_ONCE = 200;
const tableBox = tableBody.closest('.scroll');
let fitting = layers.map(() => true), rowLimit = ROWS_AT_ONCE;
const filterListeners = [];
const onFilter = (listen) => filterListeners.push(listen);

function lockedIn(layer) {
  return (layer.locked ?? []).reduce((sum, entry) => sum + entry.units.length, 0);
}

// Rows that fit, up to a limit that grows as the table is scrolled: 2,000 at once would take long to lay out.
function showRows(limit) {
  let left = rowLimit = limit;
  for (const row of tableBody.rows) {
    const shown = fitting[row.dataset.layer] && left > 0;
    if (shown) left -= 1;
    row.classList.toggle('later', !shown);
  }
}

function filterRows() {
  const words = searchBox.value.toLowerCase().split(/\s+/).filter(Boolean), where = shownWhere[filterBox.value];
  const fits = layers.map((layer, i) => where(layer) && words.every((word) => searchable[i].includes(word)));
  fitting = fits;
  tableBox.scrollTop = 0;
  showRows(ROWS_AT_ONCE);
  const shown = fits.filter(Boolean).length;
  byId('shown').textContent = shown === layers.length ? count(shown, 'layer') : `${shown.toLocaleString('en')} of ${count(layers.length, 'layer')}`;
  for (const listen of filterListeners) listen(fits);
}

function sortRows(button) {
  const heading = button.closest('th'), key = sortKeys[button.dataset.sort];
  const before = heading.getAttribute('aria-sort');
  const textual = heading.classList.contains('text') || button.dataset.sort === 'index';
  const up = before ? before === 'descending' : textual;
  for (const other of document.querySelectorAll('#table th[aria-sort]')) other.removeAttribute('aria-sort');
  heading.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const keyed = rows.map((row) => [key(Number(row.dataset.layer)), Number(row.dataset.layer), row]);
  keyed.sort(([a, i], [b, j]) => (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1) || i - j);
  tableBody.append(...keyed.map(([, , row]) => row));
  showRows(ROWS_AT_ONCE);
}

function step(event) {
  const row = event.target.closest('tr'), visible = [...tableBody.rows].filter((one) => !one.classList.contains('later'));
  const at = visible.indexOf(row);
  const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: visible.length - 1}[event.key];
  if (next === undefined || !visible[next]) return;
  event.preventDefault();
  visible[next].querySelector('a').focus();
  choose(Number(visible[next].dataset.layer));
}

function showRow(row, wanted) {
  if (wanted && row.classList.contains('later') && fitting[row.dataset.layer]) showRows([...tableBody.rows].indexOf(row) + ROWS_AT_ONCE);
  if (row.classList.contains('later')) return;
  const box = tableBox, head = document.querySelector('#table thead').offsetHeight;
  const top = row.offsetTop - head, bottom = row.offsetTop + row.offsetHeight;
  if (top < box.scrollTop || bottom > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop - box.clientHeight / 2;
}

searchBox.addEventListener('input', filterRows);
filterBox.addEventListener('change', filterRows);
document.querySelector('#table thead').addEventListener('click', (event) => event.target.dataset.sort && sortRows(event.target));
tableBody.addEventListener('keydown', step);
tableBody.addEventListener('click', (event) => {
  const row = event.target.closest('tr');
  if (row && !event.target.closest('a')) choose(Number(row.dataset.layer));
});
tableBox.addEventListener('scroll', () => {
  if (rowLimit < rows.length && tableBox.scrollTop + tableBox.clientHeight > tableBox.scrollHeight - 600) showRows(rowLimit + ROWS_AT_ONCE);
});
addEventListener('beforeprint', () => showRows(rows.length));
onChoice((index, wanted) => {
  tableBody.querySelector('[aria-current]')?.removeAttribute('aria-current');
  rows[index].setAttribute('aria-current', 'true');
  showRow(rows[index], wanted);
});
