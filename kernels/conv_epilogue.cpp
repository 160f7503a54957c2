// One pass over the rows. Rows shorter than a vector are taken together: the bias then repeats after `channels`
// vectors.
#include "kernels/conv_epilogue.h"

#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/vector_activate.h"

namespace ganforge {
namespace {

template <Activation::Kind kind>
struct Constant {
  static constexpr Activation::Kind value = kind;
};

/// f(result, bias, mask) over one row of `count` elements; the bias of vector i is at bias + i % period · lanes.
template <class Function>
void finish_row(const Function& f, std::int64_t count, std::int64_t period, const float* bias, const float* mask,
                float* out) {
  std::int64_t j = 0, phase = 0;
  for (; j + lanes <= count; j += lanes) {
    store(out + j, f(load(out + j), load(bias + phase * lanes), load(mask + j)));
    phase = phase + 1 == period ? 0 : phase + 1;
  }
  const std::int64_t left = count - j;
  if (left == 0) return;
  const Floats result = load_part(out + j, left), b = load_part(bias + phase * lanes, left);
  store_part(out + j, f(result, b, load_part(mask + j, left)), left);
}

template <class Function>
void finish_rows(const Function& f, std::int64_t rows, std::int64_t channels, const float* bias, const float* mask,
                 float* out) {
  if (bias && channels >= lanes) {
    const std::int64_t step = channels;
    for (std::int64_t r = 0; r < rows; ++r, out += step, mask += step) {
      finish_row(f, channels, channels, bias, mask, out);
    }
    return;
  }
  alignas(64) float pattern[lanes * lanes] = {};
  if (bias) {
    for (std::int64_t i = 0; i < channels * lanes; ++i) pattern[i] = bias[i % channels];
  }
  finish_row(f, rows * channels, bias ? channels : 1, pattern, mask, out);
}

}  // namespace

namespace GANFORGE_ISA {

void conv_epilogue(const ConvEpilogue& epilogue, std::int64_t rows, std::int64_t channels, const float* bias,
                   const float* mask, float* out) {
  using Kind = Activation::Kind;
  const Activation act = epilogue.act;
  const auto finish = [&](auto kind) {
    constexpr Kind k = decltype(kind)::value;
    const Activation constant{k, act.negative_slope};
    if (epilogue.mask) {
      const auto f = [=](Floats x, Floats b, Floats m) { return activation_grad(constant, m, x + b); };
      finish_rows(f, rows, channels, epilogue.bias ? bias : nullptr, mask, out);
    } else {
      // A mask that is not used: any readable memory of that size.
      const auto f = [=](Floats x, Floats b, Floats) { return activate(constant, x + b); };
      finish_rows(f, rows, channels, epilogue.bias ? bias : nullptr, out, out);
    }
  };
  if (act.kind == Kind::leaky_relu) {
    finish(Constant<Kind::leaky_relu>{});
  } else if (act.kind == Kind::tanh) {
    finish(Constant<Kind::tanh>{});
  } else if (act.kind == Kind::sigmoid) {
    finish(Constant<Kind::sigmoid>{});
  } else if (epilogue.bias) {
    finish(Constant<Kind::none>{});
  }
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void conv_epilogue(const ConvEpilogue&, std::int64_t, std::int64_t, const float*, const float*, float*);
}  // namespace isa_avx2
namespace isa_avx512 {
void conv_epilogue(const ConvEpilogue&, std::int64_t, std::int64_t, const float*, const float*, float*);
}  // namespace isa_avx512

void conv_epilogue(const CpuStream& stream, const ConvEpilogue& epilogue, std::int64_t rows, std::int64_t channels,
                   const float* bias, const float* mask, float* out) {
  pick(stream.isa, isa_baseline::conv_epilogue, isa_avx2::conv_epilogue, isa_avx512::conv_epilogue)(
      epilogue, rows, channels, bias, mask, out);
}

void conv_epilogue_shared(const CpuStream& stream, const ConvEpilogue& epilogue, std::int64_t rows,
                          std::int64_t channels, const float* bias, const float* mask, float* out) {
  if (!epilogue) return;
  on_team(stream, rows * channels >= 16384, [&](std::int64_t threads, std::int64_t thread) {
    const std::int64_t begin = rows * thread / threads, end = rows * (thread + 1) / threads;
    conv_epilogue(stream, epilogue, end - begin, channels, bias, mask ? mask + begin * channels : nullptr,
                  out + begin * channels);
  });
}
#endif

}  // namespace ganforge
