// The scalar functions of the elementwise primitives, shared by both backends. To add one: write it here, put it into
// the variant, give it a gradient in src/ops/map.cpp and a builder in ops.h.
//
// `name` and `parameters` (in order, at most two) describe a functor; `gradient` is its rule's business.
#pragma once

#include "kernels/hd.h"

#include <array>
#include <cmath>
#include <variant>

namespace ganforge {

// clang-format off
struct Neg      { static constexpr auto name = "neg";      template <class T> GANFORGE_HD T operator()(T x) const { return -x; } };
struct Abs      { static constexpr auto name = "abs";      template <class T> GANFORGE_HD T operator()(T x) const { return x < T(0) ? -x : x; } };
struct Exp      { static constexpr auto name = "exp";      template <class T> GANFORGE_HD T operator()(T x) const { using std::exp; return exp(x); } };
struct Log      { static constexpr auto name = "log";      template <class T> GANFORGE_HD T operator()(T x) const { using std::log; return log(x); } };
struct Sqrt     { static constexpr auto name = "sqrt";     template <class T> GANFORGE_HD T operator()(T x) const { using std::sqrt; return sqrt(x); } };
struct Recip    { static constexpr auto name = "recip";    template <class T> GANFORGE_HD T operator()(T x) const { return T(1) / x; } };
struct Square   { static constexpr auto name = "square";   template <class T> GANFORGE_HD T operator()(T x) const { return x * x; } };
struct Tanh     { static constexpr auto name = "tanh";     template <class T> GANFORGE_HD T operator()(T x) const { using std::tanh; return tanh(x); } };
struct Sigmoid  { static constexpr auto name = "sigmoid";  template <class T> GANFORGE_HD T operator()(T x) const { using std::exp; return T(1) / (T(1) + exp(-x)); } };
/// log(1 + eˣ) = max(x, 0) + log1p(e^−|x|): no overflow, no loss of digits.
struct Softplus { static constexpr auto name = "softplus"; template <class T> GANFORGE_HD T operator()(T x) const { using std::exp; using std::log1p; return (x > T(0) ? x : T(0)) + log1p(exp(x > T(0) ? -x : x)); } };
struct Sin      { static constexpr auto name = "sin";      template <class T> GANFORGE_HD T operator()(T x) const { using std::sin; return sin(x); } };
struct Cos      { static constexpr auto name = "cos";      template <class T> GANFORGE_HD T operator()(T x) const { using std::cos; return cos(x); } };
struct Floor    { static constexpr auto name = "floor";    template <class T> GANFORGE_HD T operator()(T x) const { using std::floor; return floor(x); } };
struct Sign     { static constexpr auto name = "sign";     template <class T> GANFORGE_HD T operator()(T x) const { return T(x > T(0)) - T(x < T(0)); } };
/// 1 for a finite number, 0 for NaN and infinities.
struct IsFinite { static constexpr auto name = "is_finite"; template <class T> GANFORGE_HD T operator()(T x) const { return T(x - x == T(0)); } };
struct LeakyRelu { static constexpr auto name = "leaky_relu"; double slope = 0; template <class T> GANFORGE_HD T operator()(T x) const { const T y = T(slope) * x; return x > T(0) ? x : y; } };
/// Derivative of LeakyRelu: 1 where x > 0, else slope.
struct LeakySlope { static constexpr auto name = "leaky_slope"; double slope = 0; template <class T> GANFORGE_HD T operator()(T x) const { return x > T(0) ? T(1) : T(slope); } };
struct Pow      { static constexpr auto name = "pow";      double exponent = 1; template <class T> GANFORGE_HD T operator()(T x) const { using std::pow; return pow(x, T(exponent)); } };
/// a·x + b
struct Affine   { static constexpr auto name = "affine";   double a = 1, b = 0; template <class T> GANFORGE_HD T operator()(T x) const { return T(a) * x + T(b); } };
struct Clamp    { static constexpr auto name = "clamp";    double low = 0, high = 1; template <class T> GANFORGE_HD T operator()(T x) const { const T y = x < T(low) ? T(low) : x; return y > T(high) ? T(high) : y; } };

struct Add   { static constexpr auto name = "add";   template <class T> GANFORGE_HD T operator()(T x, T y) const { return x + y; } };
struct Sub   { static constexpr auto name = "sub";   template <class T> GANFORGE_HD T operator()(T x, T y) const { return x - y; } };
struct Mul   { static constexpr auto name = "mul";   template <class T> GANFORGE_HD T operator()(T x, T y) const { return x * y; } };
struct Div   { static constexpr auto name = "div";   template <class T> GANFORGE_HD T operator()(T x, T y) const { return x / y; } };
struct Min   { static constexpr auto name = "min";   template <class T> GANFORGE_HD T operator()(T x, T y) const { return y < x ? y : x; } };
struct Max   { static constexpr auto name = "max";   template <class T> GANFORGE_HD T operator()(T x, T y) const { return x < y ? y : x; } };
struct Less  { static constexpr auto name = "less";  template <class T> GANFORGE_HD T operator()(T x, T y) const { return T(x < y); } };
struct Equal { static constexpr auto name = "equal"; template <class T> GANFORGE_HD T operator()(T x, T y) const { return T(x == y); } };

struct Select { template <class T> GANFORGE_HD T operator()(T c, T x, T y) const { return c != T(0) ? x : y; } };
// clang-format on

using Unary = std::variant<Neg, Abs, Exp, Log, Sqrt, Recip, Square, Tanh, Sigmoid, Softplus, Sin, Cos, Floor, Sign,
                           IsFinite, LeakyRelu, LeakySlope, Pow, Affine, Clamp>;
using Binary = std::variant<Add, Sub, Mul, Div, Min, Max, Less, Equal>;

}  // namespace ganforge
