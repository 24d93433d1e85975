// out[i, j] = sum over k of x[i, k] * y[k, j], tile number `tile` of 64 x 64, with 16 terms at a time in shared memory; each of 256
// threads holds 4 x 4 sums. Strides say how the operands lie. For every type and shape; cuBLASLt takes those it is quicker at.
template <class X, class Y, class Out, class Sum, i64 rows, i64 columns, i64 terms, i64 x_row, i64 x_term, i64 y_term, i64 y_column>
FK_FN void matmul(const X* x, const Y* y, Out* out, u32 tile) {
    const u32 across = (u32)((columns + 63) / 64);
    const i64 row0 = (i64)(tile / across) * 64, column0 = (i64)(tile % across) * 64;
    __shared__ Sum a[16][65], b[16][65];
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    Sum sums[4][4];
    #pragma unroll
    for (int i = 0; i < 4; ++i)
        #pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = (Sum)0;
    for (i64 k0 = 0; k0 < terms; k0 += 16) {
        // Neighbouring threads read neighbouring elements, whichever way the operand lies.
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int t = threadIdx.x + e * 256;
            const int i = x_term == 1 ? t / 16 : t % 64, k = x_term == 1 ? t % 16 : t / 64;
            a[k][i] = row0 + i < rows && k0 + k < terms ? (Sum)widen(x[(row0 + i) * x_row + (k0 + k) * x_term]) : (Sum)0;
            const int j = y_column == 1 ? t % 64 : t / 16, l = y_column == 1 ? t / 64 : t % 16;
            b[l][j] = column0 + j < columns && k0 + l < terms ? (Sum)widen(y[(k0 + l) * y_term + (column0 + j) * y_column]) : (Sum)0;
        }
        __syncthreads();
        #pragma unroll
        for (int k = 0; k < 16; ++k)
            #pragma unroll
            for (int i = 0; i < 4; ++i)
                #pragma unroll
                for (int j = 0; j < 4; ++j) sums[i][j] += a[k][ty + i * 16] * b[k][tx + j * 16];
        __syncthreads();
    }
    #pragma unroll
    for (int i = 0; i < 4; ++i)
        #pragma unroll
        for (int j = 0; j < 4; ++j) {
            const i64 r = row0 + ty + i * 16, c = column0 + tx + j * 16;
            if (r < rows && c < columns) out[r * columns + c] = Memory<Out>::of(sums[i][j]);
        }
}
