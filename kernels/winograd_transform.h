// Winograd's transforms of tiles of vectors. Part of the hot kernels (isa.h): internal linkage throughout.
#pragma once

#include "kernels/vector_math.h"

#include <utility>

namespace ganforge {
namespace {

/// Polynomials of degree m − 1 and 1 are multiplied by their values at m finite points and infinity (Toom and Cook);
/// the correlation F(m, 2) is the transpose of that. Row i of `a` and `g`: the powers of point i. Row i of `b` (Bᵀ):
/// the coefficients of its Lagrange polynomial; the last row, for infinity, those of the product of all x − point.
template <int m>
struct Matrices {
  float b[m + 1][m + 1] = {}, a[m + 1][m] = {}, g[m + 1][2] = {};

  constexpr Matrices() {
    constexpr double points[] = {0, 1, -1, 2, -2, 0.5, -0.5};
    for (int i = 0; i <= m; ++i) {
      double product[m + 1] = {1}, scale = 1;  // of x − point[j], j ≠ i
      int degree = 0;
      for (int j = 0; j < m; ++j) {
        if (j == i) continue;
        if (i < m) scale *= points[i] - points[j];
        ++degree;
        for (int d = degree; d >= 0; --d) product[d] = (d > 0 ? product[d - 1] : 0) - points[j] * product[d];
      }
      for (int j = 0; j <= m; ++j) b[i][j] = static_cast<float>(product[j] / scale);
      double power = 1;
      for (int j = 0; j < m; ++j) {
        a[i][j] = static_cast<float>(i < m ? power : j == m - 1);
        if (j < 2) g[i][j] = static_cast<float>(i < m ? power : j);
        if (i < m) power *= points[i];
      }
    }
  }
};

// Matrices as types: `rows` × `columns`, value(i, j). Points come as pairs ±a, whose rows differ in the signs of odd
// columns alone: then sums over even and odd columns serve both.
template <int m>
struct B {
  static constexpr int rows = m + 1, columns = m + 1;
  static constexpr Matrices<m> all{};
  static constexpr float value(int i, int j) { return all.b[i][j]; }
};
template <int m>
struct A {
  static constexpr int rows = m + 1, columns = m;
  static constexpr Matrices<m> all{};
  static constexpr float value(int i, int j) { return all.a[i][j]; }
};
template <int m>
struct G {
  static constexpr int rows = m + 1, columns = 2;
  static constexpr Matrices<m> all{};
  static constexpr float value(int i, int j) { return all.g[i][j]; }
};

/// Row i + 1 is row i with the signs of odd columns changed, and no earlier row has used row i.
template <class T>
constexpr bool begins_pair(int i) {
  if (i + 1 >= T::rows || (i > 0 && begins_pair<T>(i - 1))) return false;
  for (int j = 0; j < T::columns; ++j) {
    if (T::value(i + 1, j) != (j % 2 ? -T::value(i, j) : T::value(i, j))) return false;
  }
  return true;
}

struct Sum {
  Floats value;
  bool empty = true;
};
/// sum += factor · v, where the compiler knows the factor.
template <class Factor>
[[gnu::always_inline]] inline void add(Sum& sum, Factor, Floats v) {
  constexpr float f = Factor::value;
  if constexpr (f == 0.0f) {
    return;
  } else {
    if (sum.empty) {
      sum.value = f == 1.0f ? v : f == -1.0f ? -v : f * v;
    } else {
      sum.value = f == 1.0f ? sum.value + v : f == -1.0f ? sum.value - v : sum.value + f * v;
    }
    sum.empty = false;
  }
}
template <class T, int i, int j>
struct Value {
  static constexpr float value = T::value(i, j);
};

template <class T, int i, int... j>
[[gnu::always_inline]] inline void expand_row(const Floats* in, Floats* out, std::integer_sequence<int, j...>) {
  if constexpr (begins_pair<T>(i)) {
    Sum even, odd;
    (add(j % 2 ? odd : even, Value<T, i, j>{}, in[j]), ...);
    out[i] = even.value + odd.value;
    out[i + 1] = even.value - odd.value;
  } else if constexpr (i == 0 || !begins_pair<T>(i - 1)) {
    Sum sum;
    (add(sum, Value<T, i, j>{}, in[j]), ...);
    out[i] = sum.value;
  }
}
template <class T, int... i>
[[gnu::always_inline]] inline void expand(const Floats* in, Floats* out, std::integer_sequence<int, i...>) {
  (expand_row<T, i>(in, out, std::make_integer_sequence<int, T::columns>()), ...);
}
/// out = T·in.
template <class T>
[[gnu::always_inline]] inline void expand(const Floats* in, Floats* out) {
  expand<T>(in, out, std::make_integer_sequence<int, T::rows>());
}

/// The sum and the difference of a pair's rows.
template <class T, int i>
[[gnu::always_inline]] inline void combine_pair(const Floats* in, Floats* pairs) {
  if constexpr (begins_pair<T>(i)) {
    pairs[i] = in[i] + in[i + 1];
    pairs[i + 1] = in[i] - in[i + 1];
  }
}
template <class T, int... i>
[[gnu::always_inline]] inline void combine_pairs(const Floats* in, Floats* pairs, std::integer_sequence<int, i...>) {
  (combine_pair<T, i>(in, pairs), ...);
}

/// What column j of the transpose multiplies row i with: the row, or the sum or difference of a pair's.
template <class T, int i, int j>
[[gnu::always_inline]] inline void contract_row(const Floats* in, const Floats* pairs, Sum& sum) {
  if constexpr (begins_pair<T>(i)) {
    add(sum, Value<T, i, j>{}, pairs[i + j % 2]);
  } else if constexpr (i == 0 || !begins_pair<T>(i - 1)) {
    add(sum, Value<T, i, j>{}, in[i]);
  }
}
template <class T, int j, int... i>
[[gnu::always_inline]] inline Floats contract_column(const Floats* in, const Floats* pairs,
                                                     std::integer_sequence<int, i...>) {
  Sum sum;
  (contract_row<T, i, j>(in, pairs, sum), ...);
  return sum.value;
}
template <class T, int... j>
[[gnu::always_inline]] inline void contract(const Floats* in, Floats* out, std::integer_sequence<int, j...>) {
  Floats pairs[T::rows];
  combine_pairs<T>(in, pairs, std::make_integer_sequence<int, T::rows>());
  ((out[j] = contract_column<T, j>(in, pairs, std::make_integer_sequence<int, T::rows>())), ...);
}
/// out = Tᵀ·in.
template <class T>
[[gnu::always_inline]] inline void contract(const Floats* in, Floats* out) {
  contract<T>(in, out, std::make_integer_sequence<int, T::columns>());
}

/// f(i) for i < count; small loops are unrolled, larger ones would not fit the instruction cache.
template <int count, class Function>
[[gnu::always_inline]] inline void for_lines(const Function& f) {
  if constexpr (count > 5) {
#pragma GCC unroll 1
    for (int i = 0; i < count; ++i) f(i);
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) f(i);
  }
}

/// T·X·Tᵀ of the X with element (i, j) at get(i, j); put(i, j, value) takes the results.
template <class T, class Get, class Put>
[[gnu::always_inline]] inline void expand_tile(const Get& get, const Put& put) {
  constexpr int size = T::columns, points = T::rows;
  Floats half[points][size];
  for_lines<size>([&](int j) __attribute__((always_inline)) {
    Floats in[size], out[points];
#pragma GCC unroll 8
    for (int i = 0; i < size; ++i) in[i] = get(i, j);
    expand<T>(in, out);
#pragma GCC unroll 8
    for (int i = 0; i < points; ++i) half[i][j] = out[i];
  });
  for_lines<points>([&](int i) __attribute__((always_inline)) {
    Floats out[points];
    expand<T>(half[i], out);
#pragma GCC unroll 8
    for (int j = 0; j < points; ++j) put(i, j, out[j]);
  });
}

/// Tᵀ·X·T, likewise.
template <class T, class Get, class Put>
[[gnu::always_inline]] inline void contract_tile(const Get& get, const Put& put) {
  constexpr int size = T::columns, points = T::rows;
  Floats half[size][points];
  for_lines<points>([&](int j) __attribute__((always_inline)) {
    Floats in[points], out[size];
#pragma GCC unroll 8
    for (int i = 0; i < points; ++i) in[i] = get(i, j);
    contract<T>(in, out);
#pragma GCC unroll 8
    for (int i = 0; i < size; ++i) half[i][j] = out[i];
  });
  for_lines<size>([&](int i) __attribute__((always_inline)) {
    Floats out[size];
    contract<T>(half[i], out);
#pragma GCC unroll 8
    for (int j = 0; j < size; ++j) put(i, j, out[j]);
  });
}

}  // namespace
}  // namespace ganforge
