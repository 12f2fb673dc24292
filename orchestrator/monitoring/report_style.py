"""The style of the HTML report: two sets of colours by the reader's preference, no picture."""

from typing import Final

STYLE: Final = """
:root{--page:#f6f6f3;--card:#fff;--line:#e4e3dd;--ink:#16171a;--dim:#6a6c72;--rail:#ecebe5;
--one:#2f6fde;--two:#e2842c;--ok:#2c9c69;--warn:#c98a06;--bad:#d0394a;--hint:#6a6c72}
@media(prefers-color-scheme:dark){:root{--page:#101114;--card:#191b1f;--line:#2b2e34;--ink:#eceef1;
--dim:#9498a1;--rail:#2a2d33;--one:#6ba1ff;--two:#f2a65a;--ok:#4cc38a;--warn:#f0b83c;--bad:#ff6b78;
--hint:#9498a1}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:14px/1.45 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 64px;display:grid;gap:16px}
header h1{margin:0;font-size:28px;letter-spacing:-.02em;overflow-wrap:anywhere}
header p{margin:2px 0 4px;color:var(--dim)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:14px 16px}
.tile h2{margin:0 0 6px;font-size:12px;font-weight:500;color:var(--dim)}
.tile b{display:block;font-size:24px;line-height:1.15;letter-spacing:-.02em;font-weight:650;
font-variant-numeric:tabular-nums}
.tile small{font-size:14px;color:var(--dim);font-weight:500}
.tile span{display:block;margin-top:6px;font-size:12px;color:var(--dim)}
.tile.bad b{color:var(--bad)}.tile.warn b{color:var(--warn)}
.card{min-width:0}
.card h2{margin:0;font-size:15px;letter-spacing:-.01em}
.card>p{margin:2px 0 0;color:var(--dim);font-size:12px}
.none{color:var(--dim);margin:8px 0 0}
.todos{list-style:none;margin:10px 0 0;padding:0;display:grid;
grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr));gap:0 28px}
.todos li{display:flex;gap:10px;padding:8px 0;border-top:1px solid var(--line);
overflow-wrap:anywhere}
.todos i{font-style:normal;width:16px;text-align:center;flex:none}
.todos .bad i{color:var(--bad)}.todos .warn i{color:var(--warn)}.todos .hint i{color:var(--hint)}
.todos small{display:block;color:var(--dim)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:16px;align-items:start}
.scroll{overflow-x:auto;margin-top:10px}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th{font-size:12px;font-weight:500;color:var(--dim);padding:4px 10px;white-space:nowrap}
td{border-top:1px solid var(--line);padding:7px 10px;vertical-align:middle;overflow-wrap:anywhere}
td.r{white-space:nowrap}td.l{min-width:110px}td.l:first-child{min-width:150px}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
.l{text-align:left}.r{text-align:right}
td small{display:block;color:var(--dim);font-size:12px}
td b{font-weight:600}
.state{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:8px;background:var(--dim)}
.state.active{background:var(--ok)}.state.error{background:var(--bad)}
.state.inactive,.state.gone{background:none;border:2px solid var(--dim)}
.verdict.unused{color:var(--warn);font-weight:600}.verdict{white-space:nowrap}
.verdict.unclear,.verdict.not_observable{color:var(--dim)}
.legend{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 8px;
vertical-align:-1px}
.legend.one{background:var(--one)}.legend.two{background:var(--two)}.legend.bad{background:var(--bad)}
svg{display:block}
.chart{width:100%;height:auto;margin-top:8px}
.chart rect.one{fill:var(--one)}.chart rect.two{fill:var(--two)}.chart rect.bad{fill:var(--bad)}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .tick{fill:var(--dim);font-size:12px}
.chart .hit{fill:transparent}.chart g:hover .hit{fill:var(--ink);fill-opacity:.06}
.chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.chart .line.one{stroke:var(--one)}.chart .line.two{stroke:var(--two)}
.chart .dot.one{fill:var(--one)}.chart .dot.two{fill:var(--two)}
.spark polygon{fill:var(--one);fill-opacity:.14}
.spark polyline{fill:none;stroke:var(--one);stroke-width:1.5;stroke-linejoin:round}
td.r .spark{margin-left:auto}
.meter{width:100%;min-width:90px;height:8px}
.meter .rail{fill:var(--rail)}.meter .ok{fill:var(--ok)}.meter .warn{fill:var(--warn)}
.meter .bad{fill:var(--bad)}.meter .mark{fill:var(--ink)}
@media(max-width:640px){.todos,.pair{grid-template-columns:minmax(0,1fr)}
main{padding:20px 12px 40px}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
"""
