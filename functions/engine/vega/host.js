// What Vega expects of a browser and a bare engine lacks.
const cloned = value => {
    if (value === null || typeof value !== "object") {
        return value;
    }
    if (Array.isArray(value)) {
        return value.map(cloned);
    }
    if (value instanceof Date) {
        return new Date(value);
    }
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, cloned(inner)]));
};
globalThis.structuredClone ??= cloned;
