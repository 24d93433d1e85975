// Moves by index. A Word is as much of a row as 16 bytes allow; rows are `inner` words.

// Index `j`, negative ones counted from the end where `wrap`; -1 and a report for one outside [0, limit).
template <class I, bool wrap> FK_FN i64 read_index(const I* indices, i64 j, i64 limit, Error* error) {
    const I raw = indices[j];
    i64 v = (i64)raw;
    if (sizeof(I) == 8 && (I)-1 > (I)0 && v < 0) v = limit;  // an unsigned value beyond the signed range
    if (wrap && v < 0) v += limit;
    if (v >= 0 && v < limit) return v;
    raise(error, (i64)raw);
    return -1;
}

// out[o, j, i] = x[o, indices[j], i]; zeros where an index is bad.
template <class Word, class I, i64 outer, i64 n, i64 m, i64 inner>
FK_FN void gather(const Word* x, const I* indices, Word* out, Error* error) {
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= outer * m * inner) return;
    const i64 i = g % inner, j = g / inner % m, o = g / inner / m;
    const i64 row = read_index<I, true>(indices, j, n, error);
    if (row >= 0)
        out[g] = x[(o * n + row) * inner + i];
    else
        out[g] = Word();
}

// out[begin words of each outer row on] = x: a part of a concatenation.
template <class Word, i64 outer, i64 inner, i64 pitch, i64 begin> FK_FN void place_rows(const Word* x, Word* out) {
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g < outer * inner) out[g / inner * pitch + begin + g % inner] = x[g];
}
