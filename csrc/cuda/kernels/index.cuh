// Moves by index. A Word is as much of a row as 16 bytes allow; rows are `inner` words.

// Index `j`, negative ones counted from the end where `wrap`; -1, and where `report` a report, for one outside [0, limit).
template <class I, bool wrap, bool report = true> FK_FN i64 read_index(const I* indices, i64 j, i64 limit, Error* error) {
    const I raw = indices[j];
    i64 v = (i64)raw;
    if (sizeof(I) == 8 && (I)-1 > (I)0 && v < 0) v = limit;  // an unsigned value beyond the signed range
    if (wrap && v < 0) v += limit;
    if (v >= 0 && v < limit) return v;
    if (report) raise(error, (i64)raw);
    return -1;
}

// out[o, j, i] = x[o, indices[j], i]; zeros where an index is bad.
template <class Word, class I, class Index, i64 outer, i64 n, i64 m, i64 inner>
FK_FN void gather(const Word* x, const I* indices, Word* out, Error* error) {
    const Index g = (Index)blockIdx.x * 256 + threadIdx.x;
    if (g >= outer * m * inner) return;
    const i64 i = g % (Index)inner, j = g / (Index)inner % (Index)m, o = g / (Index)inner / (Index)m;
    const i64 row = read_index<I, true>(indices, j, n, error);
    if (row >= 0)
        out[g] = x[(o * n + row) * inner + i];
    else
        out[g] = Word();
}

// out[o, j, i] = x[o, indices[o, j, i], i]; zero where an index is bad.
template <class Word, class I, class Index, i64 count, i64 n, i64 m, i64 inner>
FK_FN void take_along_axis(const Word* x, const I* indices, Word* out, Error* error) {
    const Index g = (Index)blockIdx.x * 256 + threadIdx.x;
    if (g >= count) return;
    const i64 at = read_index<I, true>(indices, g, n, error);
    if (at >= 0)
        out[g] = x[((i64)(g / (Index)(m * inner)) * n + at) * inner + g % (Index)inner];
    else
        out[g] = Word();
}

// What each row has under its label; zero where that is bad.
template <class Word, class I, i64 rows, i64 classes>
FK_FN void class_probability(const Word* p, const I* labels, Word* out, Error* error) {
    const i64 row = (i64)blockIdx.x * 256 + threadIdx.x;
    if (row >= rows) return;
    const i64 label = read_index<I, false>(labels, row, classes, error);
    if (label >= 0)
        out[row] = p[row * classes + label];
    else
        out[row] = Word();
}

// A word of copies of an element.
template <class Word, class M> FK_FN Word filled(M element) {
    M copies[sizeof(Word) / sizeof(M)];
    #pragma unroll
    for (int i = 0; i < (int)(sizeof(Word) / sizeof(M)); ++i) copies[i] = element;
    Word word;
    memcpy(&word, copies, sizeof word);
    return word;
}

// A dimension of a padded tensor, from the last to the first: takes its coordinate off `rest`. Whether that is one of the `n`
// that the input has, `step` apart from `low` on; `at` becomes its place there.
template <class Index, i64 out, i64 low, i64 step, i64 n, i64 stride> FK_FN bool padded(Index& rest, Index& at) {
    const Index c = rest % (Index)out - (Index)low;
    rest /= (Index)out;
    at += c / (Index)step * (Index)stride;
    return c >= 0 && c % (Index)step == 0 && c / (Index)step < (Index)n;
}

// out[begin words of each outer row on] = x: a part of a concatenation.
template <class Word, i64 outer, i64 inner, i64 pitch, i64 begin> FK_FN void place_rows(const Word* x, Word* out) {
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g < outer * inner) out[g / inner * pitch + begin + g % inner] = x[g];
}
