// Draws one dashboard with Grafana's own panels, from answers of Prometheus that `draw.py` has put into `data.json`.
import './boot.js';
import './vector.js';
import { FieldType, ThemeContext, createTheme, dateTime, getDisplayProcessor, toDataFrame } from '@grafana/data';
import {
  BarGauge,
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  GlobalStyles,
  PanelChrome,
  Table,
  TimeSeries,
} from '@grafana/ui';
import { createRoot } from 'react-dom/client';

const COLUMN = 58;
const ROW = 38;
const GAP = 8;

function prepared(frame, theme) {
  frame.fields.forEach((field, i) => {
    field.state = { ...field.state, seriesIndex: i - 1 };
    field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  });
  return frame;
}

function Lines({ panel, theme, width, height, range }) {
  const frames = panel.series.map((series, i) => {
    const frame = toDataFrame({
      fields: [
        { name: 'Time', type: FieldType.time, values: series.times },
        { name: series.name, type: FieldType.number, values: series.values, config: series.config },
      ],
    });
    prepared(frame, theme);
    frame.fields[1].state = { seriesIndex: i, displayName: series.name };
    return frame;
  });
  const legend = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [], isVisible: true };
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone="utc" legend={legend} />
  );
}

function shown(series, theme) {
  const field = { name: series.name, type: FieldType.number, values: series.values, config: series.config };
  const display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  return { ...display(series.values.at(-1)), title: series.name };
}

function Numbers({ panel, theme, width, height }) {
  const value = shown(panel.series[0], theme);
  return (
    <BigValue
      value={{ ...value, title: undefined }}
      width={width}
      height={height}
      theme={theme}
      colorMode={BigValueColorMode.Background}
      graphMode={BigValueGraphMode.None}
      justifyMode={BigValueJustifyMode.Auto}
      textMode={BigValueTextMode.Value}
    />
  );
}

function Bars({ panel, theme, width, height }) {
  const each = Math.min(46, height / panel.series.length);
  return panel.series.map((series) => (
    <BarGauge
      key={series.name}
      value={shown(series, theme)}
      field={series.config}
      display={(value) => getDisplayProcessor({ field: { config: series.config, type: FieldType.number }, theme })(value)}
      width={width}
      height={each - 4}
      orientation="horizontal"
      displayMode="gradient"
      theme={theme}
      itemSpacing={8}
      lcdCellWidth={12}
      showUnfilled
    />
  ));
}

function Cells({ panel, theme, width, height }) {
  const frame = toDataFrame({ fields: panel.columns });
  return <Table data={prepared(frame, theme)} width={width} height={height} initialSortBy={panel.sort} />;
}

const KINDS = { timeseries: Lines, stat: Numbers, bargauge: Bars, table: Cells };

function Panel({ panel, theme, range }) {
  const { x, y, w, h } = panel.place;
  const at = { position: 'absolute', left: x * COLUMN, top: y * ROW, width: w * COLUMN - GAP, height: h * ROW - GAP };
  if (panel.type === 'row') {
    return <div style={{ ...at, font: '500 17px Inter, Helvetica, Arial, sans-serif' }}>{panel.title}</div>;
  }
  const Kind = KINDS[panel.type];
  const empty = panel.type === 'table' ? !panel.columns.length || !panel.columns[0].values.length : !panel.series.length;
  return (
    <div style={at}>
      <PanelChrome title={panel.title} width={at.width} height={at.height}>
        {(width, height) =>
          empty ? (
            <div data-empty style={{ padding: 24, textAlign: 'center', opacity: 0.7 }}>{panel.empty}</div>
          ) : (
            <Kind panel={panel} theme={theme} width={width} height={height} range={range} />
          )
        }
      </PanelChrome>
    </div>
  );
}

const data = await (await fetch('./data.json')).json();
const theme = createTheme({ colors: { mode: data.mode } });
const [from, to] = [dateTime(data.from), dateTime(data.to)];
const range = { from, to, raw: { from, to } };
const tall = Math.max(...data.panels.map((panel) => panel.place.y + panel.place.h)) * ROW;

document.body.style.background = theme.colors.background.canvas;
document.body.style.color = theme.colors.text.primary;
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ position: 'relative', margin: 16, width: 24 * COLUMN, height: tall }} id="board">
      {data.panels.map((panel) => (
        <Panel key={panel.id} panel={panel} theme={theme} range={range} />
      ))}
    </div>
  </ThemeContext.Provider>
);
