// Convolutions as matrix products whose operands are found in the images (windows.cuh), in tiles: 16 terms at a time in shared
// memory, each of 256 threads holds `high` x `wide` sums of a tile of 16 high x 16 wide. A gradient of an input gathers what its
// windows gave; one of a filter sums over all positions. Where a group has few channels, a thread makes a few results alone.

// An operand hands out a tile of lines (rows of the first, columns of the second) by terms, four values to a thread and 64 lines:
// neighbouring threads read what is neighbouring in memory. `along_terms`: which way that is.
FK_FN int line_of(bool along_terms) { return along_terms ? threadIdx.x / 4 : threadIdx.x % 16 * 4; }
FK_FN int term_of(bool along_terms) { return along_terms ? threadIdx.x % 4 * 4 : threadIdx.x / 16; }

template <class Operand, class Sum, int parts, int pitch> FK_FN void put(const Sum (&values)[parts][4], Sum (&tile)[16][pitch]) {
    const int line = line_of(Operand::along_terms), term = term_of(Operand::along_terms);
    #pragma unroll
    for (int u = 0; u < parts; ++u)
        if (Operand::along_terms) {
            #pragma unroll
            for (int j = 0; j < 4; ++j) tile[term + j][line + u * 64] = values[u][j];
        } else {
            write_values<4>(&tile[term][line + u * 64], values[u]);
        }
}

// sums[i][j] += the products of terms [begin, end), of row i / 4 * 64 + threadIdx.x / 16 * 4 + i % 4 of the tile and column
// j / 4 * 64 + threadIdx.x % 16 * 4 + j % 4.
template <class Sum, int high, int wide, class I, class A, class B>
FK_FN void multiply_tiles(A& a, B& b, I begin, I end, Sum (&sums)[high][wide]) {
    alignas(16) __shared__ Sum rows[2][16][high * 16 + 4], columns[2][16][wide * 16 + 4];
    const int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    #pragma unroll
    for (int i = 0; i < high; ++i)
        #pragma unroll
        for (int j = 0; j < wide; ++j) sums[i][j] = (Sum)0;
    Sum from_a[high / 4][4], from_b[wide / 4][4];
    int now = 0;
    if (begin < end) {
        a.load(begin, end, from_a);
        b.load(begin, end, from_b);
        put<A>(from_a, rows[0]);
        put<B>(from_b, columns[0]);
    }
    __syncthreads();
    for (I k0 = begin; k0 < end; k0 += 16) {
        const bool more = k0 + 16 < end;  // the next terms come from memory while these are multiplied
        if (more) {
            a.load(k0 + 16, end, from_a);
            b.load(k0 + 16, end, from_b);
        }
        #pragma unroll (high * wide > 16 ? 2 : 8)
        for (int k = 0; k < 16; ++k) {
            Sum x[high], y[wide];
            #pragma unroll
            for (int i = 0; i < high; i += 4) read_values<4>(&rows[now][k][row + i * 16], x + i);
            #pragma unroll
            for (int j = 0; j < wide; j += 4) read_values<4>(&columns[now][k][column + j * 16], y + j);
            #pragma unroll
            for (int i = 0; i < high; ++i)
                #pragma unroll
                for (int j = 0; j < wide; ++j) sums[i][j] += x[i] * y[j];
        }
        now ^= 1;
        if (more) {
            put<A>(from_a, rows[now]);
            put<B>(from_b, columns[now]);
        }
        __syncthreads();
    }
}
// A row of sums, `first` columns into the row of a group.
template <i64 columns, int wide, class I, class Out, class Sum> FK_FN void store_row(Out* row, I first, const Sum (&sums)[wide]) {
    #pragma unroll
    for (int j = 0; j < wide; j += 4) {
        const I c = first + threadIdx.x % 16 * 4 + j * 16;
        if (columns % 4 == 0) {
            if (c < columns) write_values<4>(row + c, sums + j);
        } else {
            #pragma unroll
            for (int i = 0; i < 4; ++i)
                if (c + i < columns) row[c + i] = Memory<Out>::of(sums[j + i]);
        }
    }
}

// Which tile a block has: the columns of a group's tile change first, then the group, then the rows.
template <class S, i64 columns, int high, int wide> struct Tile {
    typedef typename S::I I;
    static constexpr u32 across = (u32)((columns + wide * 16 - 1) / (wide * 16));
    I row, column, group;
    explicit Tile(u32 block) {
        column = (I)(block % across) * (wide * 16);
        group = (I)(block / across % (u32)S::groups);
        row = (I)(block / across / (u32)S::groups) * (high * 16);
    }
    [[nodiscard]] I row_of(int i) const { return row + i / 4 * 64 + threadIdx.x / 16 * 4 + i % 4; }
};
// Terms [begin, end) of this slice.
template <class I> struct Slice {
    I begin, end;
    Slice(I length, I terms) : begin((I)blockIdx.y * length), end(terms - begin < length ? terms : begin + length) {}
};

// Lines are output positions, terms the taps of their windows times channels.
template <class T, class S> struct Patches {
    typedef typename S::I I;
    static constexpr bool along_terms = true;
    static constexpr int word = S::depth % 4 == 0 ? 4 : 1;
    const T* x;
    Point<I> windows[2];
    I at[2];
    bool valid[2];
    Patches(const T* group, I first) : x(group) {
        #pragma unroll
        for (int u = 0; u < 2; ++u) {
            const I p = first + line_of(true) + u * 64;
            valid[u] = p < S::positions;
            windows[u] = window_of<S>(point_of<typename S::Out>(p));
            at[u] = offset_of<typename S::In>(windows[u], S::channels);
        }
    }
    template <class Sum, int parts> void load(I k0, I end, Sum (&values)[parts][4]) const {
        #pragma unroll
        for (int j = 0; j < 4; j += word) {
            const I k = k0 + term_of(true) + j;
            const Point<I> tap = tap_of<S>(k / S::depth);
            const I offset = offset_of<typename S::In>(tap, S::channels) + k % S::depth;
            #pragma unroll
            for (int u = 0; u < parts; ++u) {
                #pragma unroll
                for (int i = 0; i < word; ++i) values[u][j + i] = (Sum)0;
                if (k < end && valid[u] && in_input<S>(windows[u], tap)) read_values<word>(x + at[u] + offset, values[u] + j);
            }
        }
    }
};
// Terms are rows of a matrix, lines some of its columns: a filter, or a gradient by positions.
template <class T, class I, I lines, I pitch> struct Rows {
    static constexpr bool along_terms = false;
    static constexpr int word = lines % 4 == 0 ? 4 : 1;
    const T* y;
    I first;
    Rows(const T* group, I first_line) : y(group), first(first_line + line_of(false)) {}
    template <class Sum, int parts> void load(I k0, I end, Sum (&values)[parts][4]) const {
        const I k = k0 + term_of(false);
        #pragma unroll
        for (int u = 0; u < parts; ++u)
            #pragma unroll
            for (int j = 0; j < 4; j += word) {
                const I line = first + u * 64 + j;
                #pragma unroll
                for (int i = 0; i < word; ++i) values[u][j + i] = (Sum)0;
                if (k < end && line < lines) read_values<word>(y + k * pitch + line, values[u] + j);
            }
    }
};

template <class Sum, class S, int high, int wide, i64 slice, class T, class Out>
FK_FN void conv(const T* x, const T* w, Out* out) {
    typedef typename S::I I;
    const Tile<S, S::width, high, wide> tile(blockIdx.x);
    const Slice<I> terms(slice, S::Window::all * S::depth);
    Patches<T, S> a(x + tile.group * S::depth, tile.row);
    Rows<T, I, S::width, S::filters> b(w + tile.group * S::width, tile.column);
    Sum sums[high][wide];
    multiply_tiles<Sum, high, wide, I>(a, b, terms.begin, terms.end, sums);
    #pragma unroll
    for (int i = 0; i < high; ++i)
        if (const I p = tile.row_of(i); p < S::positions)
            store_row<S::width, wide>(out + p * S::filters + tile.group * S::width, tile.column, sums[i]);
}

// A thread makes `word` neighbouring filters of one position: all of one group, or groups of one filter and one channel.
template <class Sum, class S, int word, class T, class Out> FK_FN void conv_alone(const T* x, const T* w, Out* out) {
    typedef typename S::I I;
    constexpr I words = S::filters / word;
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= (i64)S::positions * words) return;
    const I f = (I)((typename Unsigned<I>::type)g % words) * word, p = (I)((typename Unsigned<I>::type)g / words);
    const Point<I> window = window_of<S>(point_of<typename S::Out>(p));
    const I at = offset_of<typename S::In>(window, S::channels) + f / S::width * S::depth;
    Sum sums[word];
    #pragma unroll
    for (int j = 0; j < word; ++j) sums[j] = (Sum)0;
    for (I t = 0; t < S::Window::all; ++t) {
        const Point<I> tap = tap_of<S>(t);
        if (!in_input<S>(window, tap)) continue;
        const T* from = x + at + offset_of<typename S::In>(tap, S::channels);
        Sum b[word];
        if (S::depth == 1 && S::width == 1) {
            Sum a[word];
            read_values<word>(from, a);
            read_values<word>(w + t * S::filters + f, b);
            #pragma unroll
            for (int j = 0; j < word; ++j) sums[j] += a[j] * b[j];
        } else {
            constexpr int together = S::depth % 4 == 0 ? 4 : 1;
            for (I c = 0; c < S::depth; c += together) {
                Sum a[together];
                read_values<together>(from + c, a);
                #pragma unroll
                for (int i = 0; i < together; ++i) {
                    read_values<word>(w + (t * S::depth + c + i) * S::filters + f, b);
                    #pragma unroll
                    for (int j = 0; j < word; ++j) sums[j] += a[i] * b[j];
                }
            }
        }
    }
    write_values<word>(out + p * S::filters + f, sums);
}

// Input positions by what they are modulo the strides: those of a class are reached by the same taps.
template <class S> struct Classes {
    typedef typename S::I I;
    typedef typename S::In In;
    typedef typename S::Stride T;
    static constexpr I least(I a, I b) { return a < b ? a : b; }
    typedef Three<I, least(T::d, In::d), least(T::h, In::h), least(T::w, In::w)> Residues;
    typedef Three<I, (In::d + T::d - 1) / T::d, (In::h + T::h - 1) / T::h, (In::w + T::w - 1) / T::w> Cells;
    // Of member `q` of the class with this residue; beyond the input for some.
    static Point<I> member(const Point<I>& residue, I q) {
        const Point<I> cell = point_of<Cells>(q);
        return {cell.n, cell.d * T::d + residue.d, cell.h * T::h + residue.h, cell.w * T::w + residue.w};
    }
    static bool exists(const Point<I>& p) { return p.n < S::batch && p.d < In::d && p.h < In::h && p.w < In::w; }
};
// Lines are the input positions of a class, terms the taps that reach them times filters.
template <class T, class S> struct Gradients {
    typedef typename S::I I;
    static constexpr bool along_terms = true;
    static constexpr int word = S::width % 4 == 0 ? 4 : 1;
    const T* dy;
    const Reach3<S>& reach;
    Point<I> outputs[2];
    I at[2];
    bool valid[2];
    Gradients(const T* group, const Reach3<S>& r, const Point<I>& residue, I first) : dy(group), reach(r) {
        #pragma unroll
        for (int u = 0; u < 2; ++u) {
            const Point<I> p = Classes<S>::member(residue, first + line_of(true) + u * 64);
            valid[u] = Classes<S>::exists(p);
            outputs[u] = reach.first_output(p);
            at[u] = offset_of<typename S::Out>(outputs[u], S::filters);
        }
    }
    template <class Sum, int parts> void load(I k0, I end, Sum (&values)[parts][4]) const {
        #pragma unroll
        for (int j = 0; j < 4; j += word) {
            const I k = k0 + term_of(true) + j;
            const Point<I> hops = hops_of<S>(reach, reaching_tap<S>(reach, k / S::width));
            const I offset = k % S::width - offset_of<typename S::Out>(hops, S::filters);
            #pragma unroll
            for (int u = 0; u < parts; ++u) {
                #pragma unroll
                for (int i = 0; i < word; ++i) values[u][j + i] = (Sum)0;
                if (k < end && valid[u] && in_output<S>(outputs[u], hops)) read_values<word>(dy + at[u] + offset, values[u] + j);
            }
        }
    }
};
// Lines are channels of a group, terms those of `Gradients`.
template <class T, class S> struct TurnedFilter {
    typedef typename S::I I;
    static constexpr bool along_terms = true;
    static constexpr int word = S::width % 4 == 0 ? 4 : 1;
    const T* w;
    const Reach3<S>& reach;
    I first;
    TurnedFilter(const T* group, const Reach3<S>& r, I first_line) : w(group), reach(r), first(first_line + line_of(true)) {}
    template <class Sum, int parts> void load(I k0, I end, Sum (&values)[parts][4]) const {
        #pragma unroll
        for (int j = 0; j < 4; j += word) {
            const I k = k0 + term_of(true) + j;
            const I row = tap_number<S>(reach, reaching_tap<S>(reach, k / S::width)) * S::depth;
            #pragma unroll
            for (int u = 0; u < parts; ++u) {
                const I line = first + u * 64;
                #pragma unroll
                for (int i = 0; i < word; ++i) values[u][j + i] = (Sum)0;
                if (k < end && line < S::depth)
                    read_values<word>(w + (row + line) * S::filters + k % S::width, values[u] + j);
            }
        }
    }
};

template <class Sum, class S, int high, int wide, i64 slice, class T, class Out>
FK_FN void conv_input_grad(const T* dy, const T* w, Out* out) {
    typedef typename S::I I;
    typedef Classes<S> C;
    typedef Tile<S, S::depth, high, wide> OneTile;
    constexpr u32 tiles = (u32)((S::batch * C::Cells::all + high * 16 - 1) / (high * 16)) * OneTile::across * (u32)S::groups;
    const Point<I> residue = point_of<typename C::Residues>((I)(blockIdx.x / tiles));
    const Reach3<S> reach(residue);
    const OneTile tile(blockIdx.x % tiles);
    const Slice<I> terms(slice, reach.count() * S::width);
    Gradients<T, S> a(dy + tile.group * S::width, reach, residue, tile.row);
    TurnedFilter<T, S> b(w + tile.group * S::width, reach, tile.column);
    Sum sums[high][wide];
    multiply_tiles<Sum, high, wide, I>(a, b, terms.begin, terms.end, sums);
    Out* const first = out + tile.group * S::depth;
    #pragma unroll
    for (int i = 0; i < high; ++i) {
        const Point<I> p = C::member(residue, tile.row_of(i));
        if (C::exists(p))
            store_row<S::depth, wide>(first + offset_of<typename S::In>(p, S::channels), tile.column, sums[i]);
    }
}

// A thread makes one channel of one position, or `word` neighbouring ones whose groups have one channel and one filter.
template <class Sum, class S, int word, class T, class Out> FK_FN void conv_input_grad_alone(const T* dy, const T* w, Out* out) {
    typedef typename S::I I;
    typedef typename Unsigned<I>::type U;
    constexpr I words = S::channels / word;
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= (i64)S::points * words) return;
    const I c = (I)((U)g % words) * word, p = (I)((U)g / words), group = c / S::depth;
    const Point<I> place = point_of<typename S::In>(p);
    const Reach3<S> reach(place);
    const Point<I> first = reach.first_output(place);
    const I at = offset_of<typename S::Out>(first, S::filters) + group * S::width;
    Sum sums[word];
    #pragma unroll
    for (int j = 0; j < word; ++j) sums[j] = (Sum)0;
    for (I t = 0; t < reach.count(); ++t) {
        const Point<I> tap = reaching_tap<S>(reach, t), hops = hops_of<S>(reach, tap);
        if (!in_output<S>(first, hops)) continue;
        const T* from = dy + at - offset_of<typename S::Out>(hops, S::filters);
        const T* by = w + (tap_number<S>(reach, tap) * S::depth + c % S::depth) * S::filters + group * S::width;
        constexpr int together = word > 1 ? word : S::width % 4 == 0 ? 4 : 1;
        for (I f = 0; f < S::width; f += together) {
            Sum a[together], b[together];
            read_values<together>(from + f, a);
            read_values<together>(by + f, b);
            #pragma unroll
            for (int j = 0; j < together; ++j) sums[word > 1 ? j : 0] += a[j] * b[j];
        }
    }
    write_values<word>(out + p * S::channels + c, sums);
}

// Lines are the taps of a window times channels, terms the output positions.
template <class T, class S> struct TurnedPatches {
    typedef typename S::I I;
    static constexpr bool along_terms = false;
    static constexpr int word = S::depth % 4 == 0 ? 4 : 1, words = 4 / word;
    const T* x;
    Point<I> taps[2][words];
    I at[2][words];
    bool valid[2][words];
    TurnedPatches(const T* group, I first) : x(group) {
        #pragma unroll
        for (int u = 0; u < 2; ++u)
            #pragma unroll
            for (int j = 0; j < words; ++j) {
                const I r = first + line_of(false) + u * 64 + j * word;
                valid[u][j] = r < S::Window::all * S::depth;
                taps[u][j] = tap_of<S>(r / S::depth);
                at[u][j] = offset_of<typename S::In>(taps[u][j], S::channels) + r % S::depth;
            }
    }
    template <class Sum, int parts> void load(I k0, I end, Sum (&values)[parts][4]) const {
        const I k = k0 + term_of(false);
        const Point<I> window = window_of<S>(point_of<typename S::Out>(k));
        const I base = offset_of<typename S::In>(window, S::channels);
        #pragma unroll
        for (int u = 0; u < parts; ++u)
            #pragma unroll
            for (int j = 0; j < words; ++j) {
                #pragma unroll
                for (int i = 0; i < word; ++i) values[u][j * word + i] = (Sum)0;
                if (k < end && valid[u][j] && in_input<S>(window, taps[u][j]))
                    read_values<word>(x + base + at[u][j], values[u] + j * word);
            }
    }
};

template <class Sum, class S, int high, int wide, i64 slice, class T, class Out>
FK_FN void conv_filter_grad(const T* x, const T* dy, Out* out) {
    typedef typename S::I I;
    const Tile<S, S::width, high, wide> tile(blockIdx.x);
    const Slice<I> terms(slice, S::positions);
    TurnedPatches<T, S> a(x + tile.group * S::depth, tile.row);
    Rows<T, I, S::width, S::filters> b(dy + tile.group * S::width, tile.column);
    Sum sums[high][wide];
    multiply_tiles<Sum, high, wide, I>(a, b, terms.begin, terms.end, sums);
    #pragma unroll
    for (int i = 0; i < high; ++i)
        if (const I r = tile.row_of(i); r < S::Window::all * S::depth)
            store_row<S::width, wide>(out + r * S::filters + tile.group * S::width, tile.column, sums[i]);
}

// For narrow groups: `rows` of the filter's taps times channels, `lanes` x `word` neighbouring filters (as in conv_alone) to a
// block, whose other threads take every 256 / lanes-th position of the slice.
template <class Sum, class S, int word, int lanes, int rows, i64 slice, class T, class Out>
FK_FN void conv_filter_grad_narrow(const T* x, const T* dy, Out* out) {
    typedef typename S::I I;
    constexpr I across = (S::filters + lanes * word - 1) / (lanes * word);
    constexpr int turn = 256 / lanes;
    const int lane = threadIdx.x % lanes, row = threadIdx.x / lanes;
    const I f = ((I)blockIdx.x % across * lanes + lane) * word, r0 = (I)blockIdx.x / across * rows;
    const bool paired = S::depth == 1 && S::width == 1;
    const Slice<I> terms(slice, S::positions);
    Sum sums[rows][word];
    #pragma unroll
    for (int i = 0; i < rows; ++i)
        #pragma unroll
        for (int j = 0; j < word; ++j) sums[i][j] = (Sum)0;
    if (f < S::filters)
        for (I p = terms.begin + row; p < terms.end; p += turn) {
            const Point<I> window = window_of<S>(point_of<typename S::Out>(p));
            const T* from = x + offset_of<typename S::In>(window, S::channels) + f / S::width * S::depth;
            Sum given[word];
            read_values<word>(dy + p * S::filters + f, given);
            #pragma unroll
            for (int i = 0; i < rows; ++i) {
                const Point<I> tap = tap_of<S>((r0 + i) / S::depth);
                if (r0 + i >= S::Window::all * S::depth || !in_input<S>(window, tap)) continue;
                const T* at = from + offset_of<typename S::In>(tap, S::channels) + (r0 + i) % S::depth;
                Sum a[word];
                if (paired)
                    read_values<word>(at, a);
                else
                    read_values<1>(at, a);
                #pragma unroll
                for (int j = 0; j < word; ++j) sums[i][j] += a[paired ? j : 0] * given[j];
            }
        }
    __shared__ Sum space[turn][lanes * word];
    #pragma unroll
    for (int i = 0; i < rows; ++i) {
        #pragma unroll
        for (int j = 0; j < word; ++j) space[row][lane * word + j] = sums[i][j];
        __syncthreads();
        // The first threads each add up one column, always in the same order.
        const I to = (I)blockIdx.x % across * (lanes * word) + threadIdx.x;
        if (threadIdx.x < lanes * word && to < S::filters && r0 + i < S::Window::all * S::depth) {
            Sum sum = space[0][threadIdx.x];
            for (int t = 1; t < turn; ++t) sum += space[t][threadIdx.x];
            out[(r0 + i) * S::filters + to] = Memory<Out>::of(sum);
        }
        __syncthreads();
    }
}

// What the slices have summed, 32 results to a block: always in the same order.
template <i64 size, int slices, class Sum, class Out> FK_FN void add_slices(const Sum* part, Out* out) {
    __shared__ Sum space[8][32];
    const int column = threadIdx.x % 32, row = threadIdx.x / 32;
    const i64 g = (i64)blockIdx.x * 32 + column;
    Sum sum = (Sum)0;
    if (g < size)
        #pragma unroll 4
        for (int s = row; s < slices; s += 8) sum += part[s * size + g];
    space[row][column] = sum;
    __syncthreads();
    if (row != 0 || g >= size) return;
    for (int r = 1; r < 8; ++r) sum += space[r][column];
    out[g] = Memory<Out>::of(sum);
}

template <i64 size, class Out> FK_FN void zeros(Out* out) {
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g < size) out[g] = Memory<Out>::of(0);
}
