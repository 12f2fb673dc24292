// Prometheus' answers as Grafana's data frames, with the field options of the panel applied.
const data = require('@grafana/data');
const { registry } = require('./fields');

const number = (text) => (text === 'NaN' ? null : Number(text));

function seriesFrame(series, refId) {
  const points = series.values ?? [series.value];
  return data.createDataFrame({
    refId,
    name: series.name,
    fields: [
      { name: 'Time', type: data.FieldType.time, values: points.map(([at]) => at * 1000), config: {} },
      {
        name: 'Value',
        type: data.FieldType.number,
        labels: series.metric,
        values: points.map(([, text]) => number(text)),
        config: { displayNameFromDS: series.name },
      },
    ],
  });
}

// The board's own transformations: merge by labels, rename, order, sort.
function tableFrame(answers, transformations) {
  const organize = transformations.find((it) => it.id === 'organize').options;
  const sort = transformations.find((it) => it.id === 'sortBy')?.options.sort[0];
  const many = answers.length > 1;
  const rows = new Map();
  for (const answer of answers) {
    for (const series of answer.series) {
      const { __name__: _, ...labels } = series.metric;
      const key = many ? JSON.stringify(labels) : JSON.stringify(series.metric);
      const row = rows.get(key) ?? { ...labels };
      row[many ? `Value #${answer.refId}` : 'Value'] = number(series.value[1]);
      rows.set(key, row);
    }
  }
  const list = [...rows.values()];
  const names = [...new Set([...answers.flatMap((it) => (many ? [`Value #${it.refId}`] : [])), ...list.flatMap(Object.keys)])]
    .filter((name) => !organize.excludeByName[name] && name !== 'Time');
  const place = (name) => organize.indexByName[name] ?? 100 + name.charCodeAt(name.length - 1);
  names.sort((one, other) => place(one) - place(other));
  const shown = (name) => organize.renameByName[name] ?? name;
  if (sort) {
    const column = names.find((name) => shown(name) === sort.field);
    const before = (one, other) => (one > other ? 1 : one < other ? -1 : 0);
    list.sort((one, other) => before(one[column] ?? -1, other[column] ?? -1) * (sort.desc ? -1 : 1));
  }
  return data.createDataFrame({
    fields: names.map((name) => ({
      name: shown(name),
      type: list.some((row) => typeof row[name] === 'number') ? data.FieldType.number : data.FieldType.string,
      values: list.map((row) => row[name] ?? null),
      config: {},
    })),
  });
}

exports.frames = (panel, answers, theme) => {
  const isTable = panel.type === 'table';
  const raw = isTable
    ? [tableFrame(answers, panel.transformations)]
    : answers.flatMap((answer) => answer.series.map((series) => seriesFrame(series, answer.refId)));
  return data.applyFieldOverrides({
    data: raw,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registry(),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
};
