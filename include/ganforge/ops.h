// Builders of graph nodes. Shapes are row-major; every function throws ShapeError if its operands do not fit.
// Differentiable to any order unless it says otherwise.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/adam.h>
#include <ganforge/conv2d.h>
#include <ganforge/graph.h>
#include <ganforge/objective.h>
#include <ganforge/schedule.h>

#include <array>
#include <span>
#include <utility>
#include <vector>

namespace ganforge {

// --- map: elementwise, float types; two operands broadcast from the right as in NumPy
// ---------------------------------
Value add(Value x, Value y);
Value sub(Value x, Value y);
Value mul(Value x, Value y);
Value div(Value x, Value y);
Value minimum(Value x, Value y);  ///< gradient to the smaller; at a tie half to each
Value maximum(Value x, Value y);  ///< gradient to the larger; at a tie half to each
Value less(Value x, Value y);     ///< 1 where x < y, else 0; no gradient
Value equal(Value x, Value y);    ///< 1 where x = y, else 0; no gradient; also int32 operands, giving float32
/// condition ≠ 0 ? x : y; no gradient to the condition.
Value select(Value condition, Value x, Value y);

Value neg(Value x);
Value abs(Value x);
Value exp(Value x);
Value log(Value x);
Value sqrt(Value x);
Value recip(Value x);
Value square(Value x);
Value tanh(Value x);
Value sigmoid(Value x);
Value softplus(Value x);  ///< log(1 + eˣ), without overflow
Value sin(Value x);
Value cos(Value x);
Value floor(Value x);      ///< no gradient
Value sign(Value x);       ///< −1, 0 or 1; no gradient
Value is_finite(Value x);  ///< 1 for numbers, 0 for NaN and infinities; no gradient
Value leaky_relu(Value x, double negative_slope);
Value relu(Value x);
Value leaky_slope(Value x,
                  double negative_slope);  ///< derivative of leaky_relu: 1 where x > 0, else the slope; no gradient
Value pow(Value x, double exponent);
Value affine(Value x, double a, double b);      ///< a·x + b
Value clamp(Value x, double low, double high);  ///< gradient where low < x < high
Value activate(Value x, const Activation& activation);
/// dy ⊙ act′, act′ taken from the activation's output y, which has dy's type. Where dy comes from a linear_input_grad,
/// a convolution or a batch_norm_grad of y without an epilogue of its own, be it reshaped, that op does it in its
/// epilogue. Piecewise linear activations: a mask, without derivative in y.
Value act_grad(Value dy, Value y, const Activation& activation);

inline Value operator+(Value x, Value y) {
  return add(x, y);
}
inline Value operator-(Value x, Value y) {
  return sub(x, y);
}
inline Value operator*(Value x, Value y) {
  return mul(x, y);
}
inline Value operator/(Value x, Value y) {
  return div(x, y);
}
inline Value operator-(Value x) {
  return neg(x);
}
inline Value operator+(Value x, double b) {
  return affine(x, 1, b);
}
inline Value operator-(Value x, double b) {
  return affine(x, 1, -b);
}
inline Value operator*(Value x, double a) {
  return affine(x, a, 0);
}
inline Value operator*(double a, Value x) {
  return affine(x, a, 0);
}
inline Value operator/(Value x, double a) {
  return affine(x, 1 / a, 0);
}

// --- reduce; axes may be negative
// -------------------------------------------------------------------------------------
Value sum(Value x, std::span<const int> axes);  ///< axes are removed
Value sum(Value x, std::initializer_list<int> axes);
Value sum(Value x);  ///< over everything: a scalar
Value mean(Value x, std::initializer_list<int> axes);
Value mean(Value x);
Value max(Value x, std::initializer_list<int> axes);  ///< gradient to the maxima, shared at a tie
Value argmax(Value x, int axis);                      ///< int32, first maximum; no gradient
/// Repeats x to `shape`, right-aligned: extents of 1 and missing leading axes are stretched.
Value broadcast(Value x, const Shape& shape);
/// Adjoint of broadcast: sums back to `shape`.
Value sum_to(Value x, const Shape& shape);

// --- move; any element type
// -------------------------------------------------------------------------------------------
/// One extent may be −1: it is what is left.
Value reshape(Value x, std::span<const std::int64_t> extents);
Value reshape(Value x, std::initializer_list<std::int64_t> extents);
Value reshape(Value x, const Shape& shape);
Value transpose(Value x, std::span<const int> permutation);  ///< axis i of the result is axis permutation[i] of x
Value transpose(Value x);                                    ///< swaps the last two axes

struct Slice {
  std::int64_t begin = 0, end = 0, step = 1;  ///< 0 ≤ begin ≤ end ≤ extent, step ≥ 1
};
Value slice(Value x, std::span<const Slice> slices);  ///< one per axis
Value slice(Value x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1);

struct Padding {
  std::int64_t low = 0, high = 0, interior = 0;  ///< zeros before, behind and between elements; all ≥ 0
};
Value pad(Value x, std::span<const Padding> padding);  ///< one per axis

/// Side by side along an axis.
Value concat(const Values& values, int axis);
/// Of tensors with one axis: each piece starts at a multiple of `align` > 1 elements; gaps, and the tail up to `extent`
/// elements if that is more, are zero; with zero_gaps off they are unspecified, and the pieces can be made right where
/// they are assigned to.
Value concat_aligned(const Values& values, std::int64_t align, std::int64_t extent = 0, bool zero_gaps = true);
/// Equal parts along the outermost axis.
Values split(Value x, int parts);

// --- multiply
// ---------------------------------------------------------------------------------------------------------
/// op(a)·op(b) over the last two axes; leading axes must agree, or one operand has none and is used for every matrix.
Value matmul(Value a, Value b, bool transpose_a = false, bool transpose_b = false);

/// Convolution of images x [N, H, W, C] with filters w [K, R, S, C/groups] → [N, P, Q, K], then act(· + b) with b [K]
/// or absent. P = ⌊(H + top + bottom − dilation·(R − 1) − 1) / stride⌋ + 1, likewise Q. One-dimensional: H = R = 1.
Value conv2d(Value x, Value w, const Conv2dOptions& options = {}, Value b = {}, const Activation& activation = {});
/// Gradient of conv2d in its input: y [N, P, Q, K], w [K, R, S, C/groups] → [N, height, width, C], then act(· + b) with
/// b [C] or absent. `height` and `width` must be those of an image that conv2d maps to P × Q.
Value conv2d_input(Value y, Value w, std::int64_t height, std::int64_t width, const Conv2dOptions& options = {},
                   Value b = {}, const Activation& activation = {});
/// Gradient of conv2d in its filters: x [N, H, W, C], y [N, P, Q, K] → [K, kernel_h, kernel_w, C/groups].
Value conv2d_weight(Value x, Value y, std::int64_t kernel_h, std::int64_t kernel_w, const Conv2dOptions& options = {});
/// conv2d_weight, and y summed over its channels [K]: the gradients of a convolution's filters and bias.
std::pair<Value, Value> conv2d_weight_grad(Value x, Value y, std::int64_t kernel_h, std::int64_t kernel_w,
                                           const Conv2dOptions& options = {});
/// Transposed convolution: conv2d_input by another name. x [N, H, W, Cin], w [Cin, R, S, Cout/groups], the filter of
/// the convolution that maps the result's channels to x's → [N, (H − 1)·stride − top − bottom + dilation·(R − 1) + 1 +
/// output_padding, likewise, Cout]. Arithmetic: Dumoulin & Visin, arXiv:1603.07285, chapter 4.
Value conv_transpose2d(Value x, Value w, const ConvTranspose2dOptions& options = {}, Value b = {},
                       const Activation& activation = {});

// --- other
// ------------------------------------------------------------------------------------------------------------
Value cast(Value x, DType to);  ///< gradient between float types
Value stop_gradient(Value x);
Value alias(Value x);
Value copy(Value x);

// --- sources: no gradient
// ---------------------------------------------------------------------------------------------
Value constant(Graph& graph, double value, Type type);
Value constant_like(Value x, double value);
/// 0, 1, 2, … along an axis; int32 or a float type.
Value iota(Graph& graph, Type type, int axis);
/// Uniform in [low, high); float32. The numbers are a function of (seed, *tick, draw, element): draws that must differ
/// have different `draw` (graph.fresh_number()). tick is an int64 scalar.
Value uniform(Value tick, std::uint64_t seed, int draw, const Shape& shape, float low = 0, float high = 1);
Value normal(Value tick, std::uint64_t seed, int draw, const Shape& shape, float mean = 0, float stddev = 1);
/// `rows` samples without replacement within each epoch, as a keyed permutation says, from `data` uint8 [count, …].
struct Batch {
  Value x;           ///< float32 [rows, …] = data · scale + shift
  Value labels;      ///< int32 [rows]; absent if there are none
  Value new_cursor;  ///< cursor + rows, int64 scalar
};
Batch draw_batch(Value cursor, Value data, Value labels, std::int64_t rows, std::uint64_t seed, float scale,
                 float shift);
/// One float32 scalar per schedule, at tick.
Values schedule(Value tick, const std::vector<Schedule>& schedules);

// --- fused
// ------------------------------------------------------------------------------------------------------------
/// act(x·wᵀ + b): x [rows, in], w [out, in], b [out] or absent → [rows, out].
Value linear(Value x, Value w, Value b, const Activation& activation = {});
/// (dz·w) ⊙ act′(y): dz [rows, out], w [out, in], y [rows, in] or absent → [rows, in]. Gradient of linear in its input.
Value linear_input_grad(Value dz, Value w, Value y = {}, const Activation& activation = {});
/// {dzᵀ·x, Σ dz}: dz [rows, out], x [rows, in] → dw [out, in], db [out].
std::pair<Value, Value> linear_weight_grad(Value dz, Value x);

struct BatchNormOptions {
  float eps = 1e-3f;
  float momentum = 0.99f;  ///< share of the running statistics that is kept (Keras)
  int groups = 1;          ///< so many equal blocks of rows have statistics of their own
  Activation activation = {};
};
struct BatchNormResult {
  Value y;
  Value mean, var;                  ///< [groups, channels]; var is biased
  Value running_mean, running_var;  ///< [channels], updated group after group; the variance unbiased
};
/// act(γ·(x − mean)/√(var + eps) + β) over all axes but the last: x […, channels], γ β and running statistics
/// [channels].
BatchNormResult batch_norm(Value x, Value gamma, Value beta, Value running_mean, Value running_var,
                           const BatchNormOptions& options);
/// With the running statistics.
Value batch_norm_inference(Value x, Value gamma, Value beta, Value running_mean, Value running_var, float eps,
                           const Activation& activation = {});

struct DiscriminatorLoss {
  Value loss;                      ///< scalar
  Value d_real, d_fake, accuracy;  ///< scalars: kernels/gan_loss.h; accuracy has no gradient
};
/// logits […] whose outermost half is of real samples, the other of generated ones.
/// `real_target` counts where has_target(objective).
DiscriminatorLoss discriminator_loss(Value logits, Objective objective, float real_target = 1.0f);
/// logits on generated samples; a relativistic objective also wants as many on real ones, the others none.
Value generator_loss(Value logits, Objective objective, Value on_real = {});

// --- images [N, H, W, C], and layers that act on each sample alone
// -------------------------------------------------------------------------------------
/// Mean over windows (rows, columns) that begin `stride` apart: [N, P, Q, C], P = ⌊(H − window) / stride⌋ + 1 ≥ 1.
Value avg_pool2d(Value x, std::array<std::int64_t, 2> window = {2, 2}, std::array<std::int64_t, 2> stride = {2, 2});
/// Maximum over such windows; gradient to the maxima, shared at a tie.
Value max_pool2d(Value x, std::array<std::int64_t, 2> window = {2, 2}, std::array<std::int64_t, 2> stride = {2, 2});
/// Mean over the pixels: [N, C].
Value global_avg_pool(Value x);
/// Each pixel becomes factor × factor equal ones.
Value upsample_nearest(Value x, std::int64_t factor);
/// Linear between pixel centres (half-pixel coordinates), constant beyond the outermost ones.
Value upsample_bilinear(Value x, std::int64_t factor);
/// [N, H, W, C·f²] → [N, H·f, W·f, C]: channel c·f² + i·f + j goes to row i, column j of its f × f pixels (PyTorch's
/// order). Sub-pixel convolution: Shi et al., arXiv:1609.05158.
Value pixel_shuffle(Value x, std::int64_t factor);

/// act(γ·(x − mean)/√(var + eps) + β) with mean and biased variance of each sample and each of `groups` equal blocks of
/// neighbouring channels: x [N, …, C], γ β [C]. Wu & He, arXiv:1803.08494.
Value group_norm(Value x, std::int64_t groups, Value gamma, Value beta, float eps = 1e-5f,
                 const Activation& activation = {});
/// Every channel is a group. Ulyanov et al., arXiv:1607.08022.
Value instance_norm(Value x, Value gamma, Value beta, float eps = 1e-5f, const Activation& activation = {});
/// All of a sample is one group. Ba et al., arXiv:1607.06450.
Value layer_norm(Value x, Value gamma, Value beta, float eps = 1e-5f, const Activation& activation = {});

/// x / (1 − rate) where a number of uniform(tick, seed, draw) is at least `rate`, else 0: the mask is drawn again for
/// the gradient, not stored. 0 ≤ rate < 1. Srivastava et al. 2014.
Value dropout(Value x, float rate, Value tick, std::uint64_t seed, int draw);

struct AdamOptions {
  float lr = 1e-3f;  ///< where no schedule gives it
  float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
  float ema_decay = 0.0f;                  ///< 0: no moving average
  std::vector<AdamSegment> segments = {};  ///< at most max_adam_segments, in order
};
struct AdamState {
  Value w, m, v, t, ema;  ///< flat [n], t a float32 scalar; ema absent without one
};
struct AdamResult : AdamState {
  /// Where w and g were not finite: scalars, ⌈n/16⌉ − ⌊i/16⌋ for the first such element i, 0 if there is none.
  Value bad_w, bad_g;
};
/// One step of algorithm 1 of arXiv:1412.6980 on a flat buffer; g [n], lr a float32 scalar. No gradient is defined
/// beyond the expansion's.
AdamResult adam_step(const AdamState& state, Value g, Value lr, const AdamOptions& options);

// --- the step prologue
// ------------------------------------------------------------------------------------------------
struct LatentSpec {
  LatentSpec() = default;
  LatentSpec(std::int64_t size) : shape{size} {}
  LatentSpec(Shape s, bool u = false, float l = 0, float h = 1) : shape(std::move(s)), uniform(u), low(l), high(h) {}

  Shape shape;
  bool uniform = false;  ///< else N(0, 1)
  float low = 0, high = 1;
};
struct PrologueOptions {
  std::uint64_t seed = 0;
  std::int64_t rows = 0;  ///< samples to draw; 0: no data
  bool staged = false;    ///< data are uint8 [2, rows, …], the batch of tick t at t mod 2; only labels are drawn
  float scale = 1, shift = 0;
  std::vector<LatentSpec> latents;
  std::vector<Schedule> schedules;
  std::vector<int> draws;  ///< a draw number per latent
};
struct PrologueState {
  Value tick, cursor, statistics, ring, ring_tick;
};
struct PrologueResult {
  Value x, labels;  ///< the batch; absent without data
  Values latents, schedules;
  PrologueState state;  ///< statistics absent: the program reports them
};
/// Everything that changes from step to step, in one launch (kernels/prologue.h).
PrologueResult prologue(const PrologueState& state, Value data, Value labels, const PrologueOptions& options);

}  // namespace ganforge
