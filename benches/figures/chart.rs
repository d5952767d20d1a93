//! Bar charts, written as the text of an SVG.

use std::fmt::Write;

/// A bar, with a whisker from its least to its greatest sample.
pub struct Bar {
    pub name: String,
    pub value: f64,
    pub least: f64,
    pub most: f64,
    /// The text to the right of the bar.
    pub label: String,
    pub good: bool,
}

const LINE: usize = 26;
const NAMES: f64 = 470.0;
const BARS: f64 = 420.0;
const WIDTH: f64 = NAMES + BARS + 300.0;

/// Draws bars, one below the other. A dashed line marks the value `mark`, and bars beyond `most` are cut off.
pub fn bars(title: &str, bars: &[Bar], mark: Option<f64>, most: Option<f64>) -> String {
    let height = (bars.len() + 2) * LINE + 10;
    let longest = bars
        .iter()
        .map(|bar| bar.most)
        .filter(|most| most.is_finite());
    let longest = longest
        .fold(mark.unwrap_or(0.0), f64::max)
        .max(f64::MIN_POSITIVE);
    let end = most.map_or(longest, |most| most.min(longest));
    let place = |value: f64| NAMES + value.clamp(0.0, end) / end * BARS;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"22\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    for (number, bar) in bars.iter().enumerate() {
        let top = (number + 1) * LINE + 12;
        let (middle, text) = (top + LINE / 2 - 3, top + LINE / 2 + 2);
        let color = if bar.good { "#3b7ea1" } else { "#c4653a" };
        let (from, to) = (place(bar.least), place(bar.most));
        // Writing into a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{NAMES}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/>\n\
             <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{text}\">{}</text>",
            NAMES - 8.0,
            escaped(&bar.name),
            place(bar.value) - NAMES,
            LINE - 7,
            to + 8.0,
            escaped(&bar.label),
        );
    }
    if let Some(mark) = mark {
        let at = place(mark);
        let bottom = height - 6;
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"32\" y2=\"{bottom}\" stroke=\"black\" stroke-dasharray=\"4 3\"/>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
