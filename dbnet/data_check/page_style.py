"""The style sheet of the HTML report, for light and dark."""

STYLE = """
:root { color-scheme: light dark;
  --back: #fff; --card: #f6f7f9; --line: #d9dce1; --text: #1d2127; --soft: #59616d;
  --error: #b3261e; --warning: #8a5300; --note: #2f5d8a; --good: #1b6e3c;
  --counted: #0072b2; --ignored: #a9b0ba; }
@media (prefers-color-scheme: dark) { :root {
  --back: #15181c; --card: #1e2227; --line: #363c44; --text: #e6e9ed; --soft: #a3acb8;
  --error: #ff8f85; --warning: #f2b866; --note: #8fbfee; --good: #7fd6a0;
  --counted: #56b4e9; --ignored: #6b737e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 28px 20px 60px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 44px 0 10px; }
h3 { font-size: 16px; margin: 0 0 6px; }
p { margin: 4px 0; }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: 3px; }
.soft { color: var(--soft); }
.verdict { font-size: 17px; font-weight: 600; margin: 14px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.path { overflow-wrap: anywhere; }
.badge { display: inline-block; min-width: 74px; padding: 0 8px; border: 1px solid currentColor;
  border-radius: 9px; font-size: 13px; text-align: center; }
h3 .badge { margin-right: 6px; }
a.name { white-space: nowrap; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
.good { color: var(--good); }
section.kind { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 16px 18px; margin: 14px 0; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr));
  gap: 14px; margin: 12px 0; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 4px; }
figure img + img { margin-top: 4px; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 4px; overflow-wrap: anywhere; }
summary { cursor: pointer; margin-top: 8px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(360px, 1fr)); gap: 22px; }
svg { display: block; width: 100%; max-width: 520px; }
svg text { font-size: 12px; fill: var(--text); }
svg text.number { fill: var(--soft); }
.bar-counted { fill: var(--counted); } .bar-ignored { fill: var(--ignored); }
.key { display: inline-block; width: 11px; height: 11px; margin: 0 4px 0 12px; }
.key.counted { background: var(--counted); } .key.ignored { background: var(--ignored); }
@media print { section.kind, figure { break-inside: avoid; } }
"""
