// Charts without a browser: a Vega-Lite specification in, an SVG out. A warning is an error, for it means that something is missing.
// The widths of Helvetica, which Arial and Liberation Sans share, in thousandths of the font's size, from the space to the tilde.
const widths = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556, 556,
    278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667,
    611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833,
    556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

// Of other letters the widest of their kind: rather a gap than text that is cut.
const widthOf = character => {
    const code = character.codePointAt(0);
    return widths[code - 32] ?? (code < 0x250 || (code >= 0x2010 && code < 0x2030) ? 778 : 1000);
};

vega.textMetrics.width = (item, text) => {
    const line = text == null ? "" : String(text);
    const size = item.fontSize ?? 11;
    return Array.from(line).reduce((sum, character) => sum + widthOf(character), 0) * size / 1000;
};

const logger = complaints => {
    const complain = (...words) => {
        complaints.push(words.join(" "));
        return self;
    };
    const quiet = () => self;
    const self = { level: quiet, error: complain, warn: complain, info: quiet, debug: quiet };
    return self;
};

globalThis.draw = async text => {
    const complaints = [];
    const log = logger(complaints);
    // As if nothing had been drawn before.
    vega.resetSVGDefIds();
    vegaLite.resetIdCounter();
    const specification = vegaLite.compile(JSON.parse(text), { logger: log }).spec;
    const view = new vega.View(vega.parse(specification), { renderer: "none", logger: log });
    const svg = await view.toSVG();
    view.finalize();
    if (complaints.length > 0) {
        throw new Error(complaints.join("; "));
    }
    return svg;
};
