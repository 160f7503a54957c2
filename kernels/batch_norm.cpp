// Batch normalisation on the CPU.
//
// Up to `column_rows` rows a thread owns a range of channels and does everything for it, with no barrier: x is read
// from memory once and again from cache. Above that the rows are cut into slices, as many as the shape says: partial
// sums of the slices go to the workspace, are merged in slice order, and a third loop normalises: 2R + 1W of the tensor
// forward, 4R + 1W backward (6R with an activation, whose output is read too).
#include "kernels/batch_norm.h"

#include "kernels/activate.h"
#include "kernels/isa.h"
#include "kernels/team.h"

namespace ganforge {
namespace {

constexpr std::int64_t column_rows = 1024, channel_block = 16, max_slices = 64;
constexpr int tile_rows = 8;                         // rows whose values are held in registers
constexpr std::int64_t parallel_elements = 1 << 14;  // below, a parallel region costs more than it gains

struct Slices {
  std::int64_t rows;  // of a slice; the last one may have fewer
  std::int64_t count;
};

Slices slices_of(std::int64_t rows) {
  if (rows <= column_rows) return {rows, 1};
  const std::int64_t even = (rows + max_slices - 1) / max_slices;
  const std::int64_t slice = even <= 256 ? 256 : (even + tile_rows - 1) / tile_rows * tile_rows;
  return {slice, (rows + slice - 1) / slice};
}

std::int64_t least(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

}  // namespace

namespace GANFORGE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif
typedef float Vec __attribute__((vector_size(lanes * sizeof(float))));

template <class V>
V load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V>
void store(float* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

float& lane(float& v, int) {
  return v;
}
float& lane(Vec& v, int i) {
  return reinterpret_cast<float*>(&v)[i];
}

template <class V>
V apply_activation(Activation act, V x) {
  if (act.kind == Activation::Kind::none) return x;
  if (act.kind == Activation::Kind::leaky_relu) return x > 0.0f ? x : act.negative_slope * x;
  for (int i = 0; i < int(sizeof(V) / sizeof(float)); ++i) lane(x, i) = activate(act.kind, 0.0f, lane(x, i));
  return x;
}

/// g · act′, from the output y.
template <class V>
V apply_activation_grad(Activation act, V y, V g) {
  if (act.kind == Activation::Kind::leaky_relu) return y > 0.0f ? g : act.negative_slope * g;
  if (act.kind == Activation::Kind::tanh) return g * (1.0f - y * y);
  return g * (y * (1.0f - y));
}

/// body(c, zero) for all channels; zero says by its type whether it works on `lanes` channels or on one.
template <class Body>
void for_channels(std::int64_t channels, const Body& body) {
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) body(c, Vec{});
  for (; c < channels; ++c) body(c, 0.0f);
}

template <int n>
struct Rows {
  static constexpr int count = n;
};

/// body(first row, how many as a type) for all rows, a tile at a time.
template <class Body>
void for_tiles(std::int64_t rows, const Body& body) {
  std::int64_t r = 0;
  for (; r + tile_rows <= rows; r += tile_rows) body(r, Rows<tile_rows>{});
  for (; r < rows; ++r) body(r, Rows<1>{});
}

/// Mean of x − shift, and the sum of squared distances from that mean, for each channel.
///
/// A tile's mean and squared distances come from its values in registers; tiles are merged by Chan's rule (Chan, Golub,
/// LeVeque 1979). `shift` is a row of the tensor: the rounding of a mean that is large against the deviation stays out.
void moments(const float* x, std::int64_t stride, const float* shift, std::int64_t rows, std::int64_t channels,
             float* mean, float* m2) {
  for (std::int64_t c = 0; c < channels; ++c) mean[c] = m2[c] = 0.0f;
  for_tiles(rows, [&](std::int64_t r, auto tile) {
    constexpr int n = tile.count;
    const float share = float(n) / float(r + n), weight = float(r) * share;
    for_channels(channels, [&](std::int64_t c, auto zero) {
      using V = decltype(zero);
      const V k = load<V>(shift + c);
      V v[n], sum = zero, squares = zero;
      for (int i = 0; i < n; ++i) v[i] = load<V>(x + (r + i) * stride + c) - k;
      for (int i = 0; i < n; ++i) sum += v[i];
      const V tile_mean = sum * (1.0f / n);
      for (int i = 0; i < n; ++i) squares += (v[i] - tile_mean) * (v[i] - tile_mean);
      const V m = load<V>(mean + c), delta = tile_mean - m;
      store(mean + c, m + delta * share);
      store(m2 + c, load<V>(m2 + c) + squares + delta * delta * weight);
    });
  });
}

void normalise(const float* x, float* y, std::int64_t stride, std::int64_t rows, std::int64_t channels,
               const float* mean, const float* scale, const float* beta, Activation act) {
  for_tiles(rows, [&](std::int64_t r, auto tile) {
    for_channels(channels, [&](std::int64_t c, auto zero) {
      using V = decltype(zero);
      const V m = load<V>(mean + c), a = load<V>(scale + c), b = load<V>(beta + c);
      for (int i = 0; i < tile.count; ++i) {
        const std::int64_t at = (r + i) * stride + c;
        store(y + at, apply_activation(act, (load<V>(x + at) - m) * a + b));
      }
    });
  });
}

/// The three stages of the forward pass, for group g, slice s, channels [begin, end).
struct Forward {
  const BatchNormArgs& args;
  Slices slices;

  float* partial(int g, std::int64_t s) const {  // mean and m2, of x − the group's first row
    return static_cast<float*>(args.workspace) + (g * slices.count + s) * 2 * args.channels;
  }
  float* scale(int g) const { return partial(args.groups, 0) + g * args.channels; }
  const float* x(int g, std::int64_t row) const { return args.x + (g * args.rows + row) * args.channels; }

  void reduce(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = s * slices.rows, rows = least(slices.rows, args.rows - first);
    float* mean = partial(g, s) + begin;
    moments(x(g, first) + begin, args.channels, x(g, 0) + begin, rows, end - begin, mean, mean + args.channels);
  }

  void finish(int g, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels;
    float *mean = partial(g, 0), *m2 = mean + channels;
    for (std::int64_t s = 1; s < slices.count; ++s) {
      const float *slice_mean = partial(g, s), *slice_m2 = slice_mean + channels;
      const float before = float(s * slices.rows), n = float(least(slices.rows, args.rows - s * slices.rows));
      const float share = n / (before + n);
      for (std::int64_t c = begin; c < end; ++c) {
        const float delta = slice_mean[c] - mean[c];
        mean[c] += delta * share;
        m2[c] += slice_m2[c] + delta * delta * (before * share);
      }
    }
    const float* running_mean = g == 0 ? args.running_mean : args.new_running_mean;
    const float* running_var = g == 0 ? args.running_var : args.new_running_var;
    const float unbiased = args.rows > 1 ? float(args.rows) / float(args.rows - 1) : 1.0f;
    const float keep = args.momentum, take = 1.0f - args.momentum;
    for (std::int64_t c = begin; c < end; ++c) {
      const float group_mean = x(g, 0)[c] + mean[c], var = m2[c] / float(args.rows);
      args.mean[g * channels + c] = group_mean;
      args.var[g * channels + c] = var;
      args.new_running_mean[c] = keep * running_mean[c] + take * group_mean;
      args.new_running_var[c] = keep * running_var[c] + take * (var * unbiased);
      scale(g)[c] = args.gamma[c] / __builtin_sqrtf(var + args.eps);
    }
  }

  void apply(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = s * slices.rows, rows = least(slices.rows, args.rows - first);
    const std::int64_t at = (g * args.rows + first) * args.channels + begin;
    normalise(args.x + at, args.y + at, args.channels, rows, end - begin, args.mean + g * args.channels + begin,
              scale(g) + begin, args.beta + begin, args.act);
  }
};

/// The same for the backward pass.
struct Backward {
  const BatchNormGradArgs& args;
  Slices slices;

  float* partial(int g, std::int64_t s) const {  // Σ dz and Σ dz·(x − mean)
    return static_cast<float*>(args.workspace) + (g * slices.count + s) * 2 * args.channels;
  }
  float* factors(int g) const { return partial(args.groups, 0) + g * 3 * args.channels; }

  template <class V>
  V dz(std::int64_t at) const {
    const V g = load<V>(args.dy + at);
    return args.act.kind == Activation::Kind::none ? g : apply_activation_grad(args.act, load<V>(args.y + at), g);
  }

  void reduce(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels, first = s * slices.rows;
    const std::int64_t start = (g * args.rows + first) * channels + begin;
    const float* mean = args.mean + g * channels + begin;
    float *sum = partial(g, s) + begin, *product = sum + channels;
    for (std::int64_t c = 0; c < end - begin; ++c) sum[c] = product[c] = 0.0f;
    for_tiles(least(slices.rows, args.rows - first), [&](std::int64_t r, auto tile) {
      for_channels(end - begin, [&](std::int64_t c, auto zero) {
        using V = decltype(zero);
        const V m = load<V>(mean + c);
        V tile_sum = zero, tile_product = zero;
        for (int i = 0; i < tile.count; ++i) {
          const std::int64_t at = start + (r + i) * channels + c;
          const V d = dz<V>(at);
          tile_sum += d;
          tile_product += d * (load<V>(args.x + at) - m);
        }
        store(sum + c, load<V>(sum + c) + tile_sum);
        store(product + c, load<V>(product + c) + tile_product);
      });
    });
  }

  /// dx = f₀·(dz − f₁ − (x − mean)·f₂)
  void finish(int g, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels;
    float *sum = partial(g, 0), *product = sum + channels;
    for (std::int64_t s = 1; s < slices.count; ++s) {
      const float *slice_sum = partial(g, s), *slice_product = slice_sum + channels;
      for (std::int64_t c = begin; c < end; ++c) {
        sum[c] += slice_sum[c];
        product[c] += slice_product[c];
      }
    }
    const float share = 1.0f / float(args.rows);
    float* f = factors(g);
    for (std::int64_t c = begin; c < end; ++c) {
      const float rstd = 1.0f / __builtin_sqrtf(args.var[g * channels + c] + args.eps);
      const float dgamma = product[c] * rstd;
      f[c] = args.gamma[c] * rstd;
      f[c + channels] = sum[c] * share;
      f[c + 2 * channels] = rstd * (dgamma * share);
      args.dbeta[c] = g == 0 ? sum[c] : args.dbeta[c] + sum[c];
      args.dgamma[c] = g == 0 ? dgamma : args.dgamma[c] + dgamma;
    }
  }

  void apply(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels, first = s * slices.rows;
    const std::int64_t start = (g * args.rows + first) * channels + begin;
    const float *mean = args.mean + g * channels + begin, *f = factors(g) + begin;
    for_tiles(least(slices.rows, args.rows - first), [&](std::int64_t r, auto tile) {
      for_channels(end - begin, [&](std::int64_t c, auto zero) {
        using V = decltype(zero);
        const V m = load<V>(mean + c), f0 = load<V>(f + c);
        const V f1 = load<V>(f + channels + c), f2 = load<V>(f + 2 * channels + c);
        for (int i = 0; i < tile.count; ++i) {
          const std::int64_t at = start + (r + i) * channels + c;
          const V x = load<V>(args.x + at);
          V d = f0 * (dz<V>(at) - f1 - (x - m) * f2);
          if (args.input_act.kind != Activation::Kind::none) d = apply_activation_grad(args.input_act, x, d);
          store(args.dx + at, d);
        }
      });
    });
  }
};

template <class Pass, class Args>
void run(const CpuStream& stream, const Args& args) {
  const Pass pass{args, slices_of(args.rows)};
  const std::int64_t channels = args.channels, blocks = (channels + channel_block - 1) / channel_block;
  const std::int64_t count = pass.slices.count, parts = args.groups * count;
  const bool parallel = args.rows * channels * args.groups >= parallel_elements;
  if (count == 1) {
    on_team(stream, parallel, [&](std::int64_t threads, std::int64_t t) {
      const std::int64_t begin = least(blocks * t / threads * channel_block, channels);
      const std::int64_t end = least(blocks * (t + 1) / threads * channel_block, channels);
      for (int g = 0; g < args.groups; ++g) {
        pass.reduce(g, 0, begin, end);
        pass.finish(g, begin, end);
        pass.apply(g, 0, begin, end);
      }
    });
    return;
  }
  on_team(stream, parallel, [&](std::int64_t threads, std::int64_t t) {
    for (std::int64_t i = parts * t / threads; i < parts * (t + 1) / threads; ++i)
      pass.reduce(int(i / count), i % count, 0, channels);
    if (threads > 1) team_barrier();
    for (std::int64_t b = blocks * t / threads; b < blocks * (t + 1) / threads; ++b) {
      for (int g = 0; g < args.groups; ++g) {
        pass.finish(g, b * channel_block, least((b + 1) * channel_block, channels));
      }
    }
    if (threads > 1) team_barrier();
    // Backwards: what the first loop read last is still in cache.
    for (std::int64_t i = parts * (t + 1) / threads; i-- > parts * t / threads;)
      pass.apply(int(i / count), i % count, 0, channels);
  });
}

}  // namespace

void batch_norm(const CpuStream& stream, const BatchNormArgs& args) {
  run<Forward>(stream, args);
}

void batch_norm_grad(const CpuStream& stream, const BatchNormGradArgs& args) {
  run<Backward>(stream, args);
}

void batch_norm_inference(const CpuStream& stream, const BatchNormInferenceArgs& args) {
  constexpr std::int64_t rows_per_task = 64, channels_per_task = 128;
  const std::int64_t channels = args.channels, tasks = (args.rows + rows_per_task - 1) / rows_per_task;
  on_team(stream, args.rows * channels >= parallel_elements, [&](std::int64_t threads, std::int64_t thread) {
    for (std::int64_t t = tasks * thread / threads; t < tasks * (thread + 1) / threads; ++t) {
      const std::int64_t first = t * rows_per_task, rows = least(rows_per_task, args.rows - first);
      for (std::int64_t begin = 0; begin < channels; begin += channels_per_task) {
        const std::int64_t width = least(channels_per_task, channels - begin), at = first * channels + begin;
        float scale[channels_per_task];
        for (std::int64_t c = 0; c < width; ++c) {
          scale[c] = args.gamma[begin + c] / __builtin_sqrtf(args.var[begin + c] + args.eps);
        }
        normalise(args.x + at, args.y + at, channels, rows, width, args.mean + begin, scale, args.beta + begin,
                  args.act);
      }
    }
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void batch_norm(const CpuStream&, const BatchNormArgs&);
void batch_norm_grad(const CpuStream&, const BatchNormGradArgs&);
void batch_norm_inference(const CpuStream&, const BatchNormInferenceArgs&);
}  // namespace isa_avx2
namespace isa_avx512 {
void batch_norm(const CpuStream&, const BatchNormArgs&);
void batch_norm_grad(const CpuStream&, const BatchNormGradArgs&);
void batch_norm_inference(const CpuStream&, const BatchNormInferenceArgs&);
}  // namespace isa_avx512

std::size_t batch_norm_workspace(const CpuStream&, std::int64_t rows, std::int64_t channels, int groups) {
  return std::size_t((slices_of(rows).count * 2 + 3) * groups * channels) * sizeof(float);
}

std::size_t batch_norm_tickets(const CpuStream&, std::int64_t, std::int64_t, int) {
  return 0;
}

void batch_norm(const CpuStream& stream, const BatchNormArgs& args) {
  pick(stream.isa, isa_baseline::batch_norm, isa_avx2::batch_norm, isa_avx512::batch_norm)(stream, args);
}

void batch_norm_grad(const CpuStream& stream, const BatchNormGradArgs& args) {
  pick(stream.isa, isa_baseline::batch_norm_grad, isa_avx2::batch_norm_grad, isa_avx512::batch_norm_grad)(stream, args);
}

void batch_norm_inference(const CpuStream& stream, const BatchNormInferenceArgs& args) {
  pick(stream.isa, isa_baseline::batch_norm_inference, isa_avx2::batch_norm_inference,
       isa_avx512::batch_norm_inference)(stream, args);
}
#endif

}  // namespace ganforge
