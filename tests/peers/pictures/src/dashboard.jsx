// A whole dashboard on Grafana's grid, with what it is and is not below it.
import React from 'react';
import { Panel } from './panel.jsx';

const WIDTH = 1600;
const COLUMNS = 24;
const CELL = 30;
const GAP = 8;
const HEAD = 52;
const FOOT = 40;

// The only honest label: this is no picture of Grafana.
export const LABEL = 'From a real run of this repository, drawn by `cargo xtask pictures` with the components of @grafana/ui 11.6.0. Not a screenshot of Grafana.';

export function Dashboard({ dashboard, panels, data, time, theme }) {
  const column = (WIDTH - GAP) / COLUMNS;
  const rows = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const height = HEAD + rows * (CELL + GAP) + FOOT;
  const when = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
  return (
    <div style={{ position: 'relative', width: WIDTH, height, background: theme.colors.background.canvas, color: theme.colors.text.primary, fontFamily: theme.typography.fontFamily }}>
      <div style={{ display: 'flex', justifyContent: 'space-between', padding: '14px 16px', fontSize: 18 }}>
        <span>{dashboard.title}</span>
        <span style={{ fontSize: 13, color: theme.colors.text.secondary }}>{when(time.from)} to {when(time.to)} UTC</span>
      </div>
      {panels.map((panel, at) => {
        const { x, y, w, h } = panel.gridPos;
        const size = { width: w * column - GAP, height: h * (CELL + GAP) - GAP };
        const place = { position: 'absolute', left: x * column + GAP, top: HEAD + y * (CELL + GAP), ...size };
        return (
          <div key={panel.id} style={place}>
            {panel.type === 'row'
              ? <div style={{ fontWeight: 500, paddingTop: 4 }}>{panel.title}</div>
              : <Guard theme={theme}><Panel panel={panel} told={data[at]} time={time} theme={theme} {...size} /></Guard>}
          </div>
        );
      })}
      <div style={{ position: 'absolute', bottom: 10, left: 16, fontSize: 12, color: theme.colors.text.secondary }}>{LABEL}</div>
    </div>
  );
}

// A panel that can't be drawn says so in its own place.
class Guard extends React.Component {
  state = {};

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    return this.state.error ? <pre className="broken">{String(this.state.error)}</pre> : this.props.children;
  }
}
