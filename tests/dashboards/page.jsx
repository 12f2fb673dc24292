// One board on a page: Grafana's own panels where @grafana/ui has them, a plain one where not.
const React = require('react');
const { createRoot } = require('react-dom/client');
const data = require('@grafana/data');
const ui = require('@grafana/ui');
const { frames } = require('./frames');

const WIDTH = 1600;
const CELL = { height: 30, gap: 8 };
const theme = data.createTheme({ colors: { mode: 'dark' } });
data.standardFieldConfigEditorRegistry.setInit(() => []);

function place({ x = 0, y = 0, w, h }) {
  const column = (WIDTH + CELL.gap) / 24;
  const row = CELL.height + CELL.gap;
  return { left: x * column, top: y * row, width: w * column - CELL.gap, height: h * row - CELL.gap };
}

function fieldDisplays(panel, found) {
  return data.getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    data: found,
    theme,
    sparkline: panel.options.graphMode === 'area',
    timeZone: 'utc',
  });
}

function Stat({ panel, found, width, height }) {
  const [one] = fieldDisplays(panel, found);
  const value = one && found.length ? one.display : { text: panel.fieldConfig.defaults.noValue, numeric: NaN };
  if (panel.options.textMode === 'name' && found.length) value.text = found[0].name;
  const { colorMode, graphMode, justifyMode } = panel.options;
  return (
    <ui.BigValue
      {...{ value, width, height, theme, colorMode, graphMode, justifyMode }}
      textMode={panel.options.textMode === 'name' ? 'value' : panel.options.textMode}
      sparkline={one?.sparkline}
    />
  );
}

function Bars({ panel, found, width, height }) {
  const rows = fieldDisplays(panel, found).filter((it) => found.length && !Number.isNaN(it.display.numeric));
  if (!rows.length) return <Nothing panel={panel} />;
  rows.sort((one, other) => other.display.numeric - one.display.numeric);
  const most = panel.fieldConfig.defaults.max ?? Math.max(...rows.map((it) => it.display.numeric));
  const each = Math.min(panel.options.maxVizHeight + 8, Math.floor(height / rows.length));
  return rows.map((row) => (
    <ui.BarGauge
      key={row.display.title}
      {...{ width, theme }}
      height={each - 6}
      value={row.display}
      field={{ ...row.field, min: 0, max: most }}
      display={row.view?.getFieldDisplayProcessor(row.colIndex)}
      orientation="horizontal"
      displayMode={panel.options.displayMode}
      valueDisplayMode={panel.options.valueMode}
      showUnfilled
      itemSpacing={6}
      text={{ titleSize: 12, valueSize: 12 }}
      alignmentFactors={{ title: 'x'.repeat(24), text: 'x'.repeat(6) }}
      namePlacement="left"
    />
  ));
}

// Where the plot itself lies in its panel, axes and legend left out: known once it is drawn.
function usePlot(ref) {
  const [plot, setPlot] = React.useState(null);
  React.useEffect(() => {
    const look = () => {
      const over = ref.current?.querySelector('.u-over');
      if (!over || !over.offsetWidth) return setTimeout(look, 50);
      const [inner, outer] = [over.getBoundingClientRect(), ref.current.getBoundingClientRect()];
      return setPlot({ left: inner.left - outer.left, top: inner.top - outer.top, width: inner.width, height: inner.height });
    };
    look();
  }, []);
  return plot;
}

function Lines({ panel, found, width, height, range, marks }) {
  const ref = React.useRef(null);
  const plot = usePlot(ref);
  if (!found.length) return <Nothing panel={panel} />;
  const own = panel.options.legend;
  const legend = { ...own, calcs: [], placement: 'bottom', displayMode: 'list' };
  return (
    <div ref={ref} style={{ position: 'relative' }}>
      <ui.TimeSeries {...{ width, height, legend }} frames={found} structureRev={1} timeRange={range} timeZone="utc" options={{}} />
      {plot && marks.map((mark, index) => (
        <i
          key={index}
          className="mark"
          style={{
            left: plot.left + (plot.width * (mark.at - range.from)) / (range.to - range.from),
            top: plot.top,
            height: plot.height,
            borderColor: theme.visualization.getColorByName(mark.color),
          }}
        />
      ))}
    </div>
  );
}

function Timeline({ panel, found, height, range }) {
  if (!found.length) return <Nothing panel={panel} />;
  const mappings = panel.fieldConfig.defaults.mappings?.[0]?.options ?? {};
  const share = (at) => `${(100 * (at - range.from)) / (range.to - range.from)}%`;
  const row = Math.min(34, (height - 24) / found.length);
  return (
    <div>
      {found.map((frame, index) => {
        const [times, values] = frame.fields.map((field) => field.values);
        const step = times.length > 1 ? times[1] - times[0] : 1000;
        return (
          <div key={index} className="state" style={{ height: row }}>
            <span>{frame.name}</span>
            <div>
              {times.map((at, point) => (
                <i
                  key={at}
                  style={{
                    left: share(at),
                    width: `calc(${(100 * step) / (range.to - range.from)}% + 1px)`,
                    background: frame.fields[1].display(values[point]).color,
                  }}
                />
              ))}
            </div>
          </div>
        );
      })}
      <div className="key">
        {Object.values(mappings).map((it) => (
          <span key={it.text} style={{ color: theme.visualization.getColorByName(it.color) }}>■ {it.text}</span>
        ))}
      </div>
    </div>
  );
}

function Grid({ panel, found, width, height }) {
  if (!found[0]?.length) return <Nothing panel={panel} />;
  return <ui.Table data={found[0]} {...{ width, height }} />;
}

function Words({ panel }) {
  const html = data.renderMarkdown(panel.options.content.replaceAll('${plugin}', window.shown.plugin));
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}

const Nothing = ({ panel }) => <div className="nothing">{panel.fieldConfig.defaults.noValue}</div>;

const KINDS = { stat: Stat, bargauge: Bars, timeseries: Lines, 'state-timeline': Timeline, table: Grid, text: Words };

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  render() {
    if (!this.state.error) return this.props.children;
    const fault = `${this.props.title}: ${this.state.error.message}`;
    return <div className="nothing" data-fault={fault}>{fault}</div>;
  }
}

function Panel({ panel, shown, range }) {
  const box = place(panel.gridPos);
  if (panel.type === 'row') return <h2 style={box}>{panel.title}</h2>;
  const Kind = KINDS[panel.type];
  const size = { width: box.width - 18, height: box.height - 42 };
  const found = panel.type === 'text' ? [] : frames(panel, shown.data[panel.id], theme);
  return (
    <section style={box}>
      <h3>{panel.title}</h3>
      <Guard title={panel.title}>
        <Kind {...{ panel, found, range, marks: shown.marks }} {...size} />
      </Guard>
    </section>
  );
}

const { shown } = window;
const range = { from: data.dateTime(shown.from), to: data.dateTime(shown.to), raw: { from: '', to: '' } };
const bottom = Math.max(...shown.board.panels.map(({ gridPos: { y = 0, h } }) => y + h));
document.body.style.height = `${place({ y: bottom, w: 1, h: 1 }).top + 60}px`;
createRoot(document.getElementById('board')).render(
  <ui.ThemeContext.Provider value={theme}>
    <ui.GlobalStyles />
    <h1>{shown.board.title}</h1>
    <div className="grid" data-drawn="yes">
      {shown.board.panels.map((panel) => (
        <Guard key={panel.id} title={panel.title}>
          <Panel {...{ panel, shown, range }} />
        </Guard>
      ))}
    </div>
  </ui.ThemeContext.Provider>
);
