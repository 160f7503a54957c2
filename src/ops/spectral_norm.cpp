// Spectral normalisation: the power iteration, w/σ, and its gradient in two steps. kernels/spectral_norm.h has the
// formulae; on CUDA each is a launch for all layers of a group.
#include "kernels/spectral_norm.h"
#include "src/ops/support.h"

#include <ganforge/spectral_norm.h>

#include <array>

namespace ganforge {
namespace {

constexpr auto group_size = static_cast<std::size_t>(max_spectral_group);

struct Matrix {
  std::int64_t rows, columns;
};

Matrix matrix_of(const Shape& w) {
  return {w[0], w[0] == 0 ? 0 : w.elements() / w[0]};
}

Value as_matrix(Value w) {
  return reshape(w, {w.shape()[0], -1});
}

void require_weight(const Type& w) {
  require_float(w, "w");
  require(w.shape.rank() >= 1 && w.shape.elements() >= 1, fmt::format("w [out, …] wanted, got {}", w.shape.str()));
}

/// w, u, v, σ at in[0 … 3].
void require_factors(const Types& in) {
  require_same_dtype(in);
  require_weight(in[0]);
  const auto [rows, columns] = matrix_of(in[0].shape);
  require(in[1].shape == Shape{rows} && in[2].shape == Shape{columns},
          fmt::format("u must be [{}] and v [{}], got {} and {}", rows, columns, in[1].shape.str(), in[2].shape.str()));
  require(in[3].shape.rank() == 0, fmt::format("sigma must be a scalar, got {}", in[3].shape.str()));
}

/// uᵀ·w·v as a function of the three: what σ stands for.
Value sigma_of(Value w, Value u, Value v) {
  return reshape(matmul(matmul(reshape(u, {1, -1}), as_matrix(w)), reshape(v, {-1, 1})), Shape{});
}

/// A kernel that runs a group of calls at once: args_of(call) are those of a layer, f(stream, layers) the launch.
template <class Args, class Plan, class ArgsOf, class Launch>
Kernel group_kernel(Plan plan, ArgsOf args_of, Launch f) {
  Kernel kernel;
  kernel.plan = std::make_shared<const Plan>(plan);
  kernel.max_group = max_spectral_group;
  kernel.run = [args_of, f](Stream& stream, std::span<const Call> calls) {
    std::array<Args, group_size> layers;
    std::size_t n = 0;
    for (const Call& call : calls) layers[n++] = args_of(*static_cast<const Plan*>(call.plan), call);
    std::visit([&](const auto& s) { f(s, std::span<const Args>(layers.data(), n)); }, stream);
  };
  return kernel;
}

/// w, u → u, v, sigma
class PowerIterationOp : public Op {
 public:
  std::string describe() const override { return "power_iteration"; }
  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_weight(in[0]);
    const auto [rows, columns] = matrix_of(in[0].shape);
    require(in[1].shape == Shape{rows}, fmt::format("u must be [{}], got {}", rows, in[1].shape.str()));
    return {in[1], {in[0].dtype, {columns}}, {in[0].dtype, {}}};
  }
  Values expand(const Values& in) const override {
    const auto unit = [](Value x) { return x / sqrt(sum(square(x)) + 1e-24); };
    const Value w = as_matrix(stop_gradient(in[0])), begin = stop_gradient(in[1]);
    const Value v = unit(reshape(matmul(reshape(begin, {1, -1}), w), {-1}));
    const Value u = unit(reshape(matmul(w, reshape(v, {-1, 1})), {-1}));
    return {u, v, sigma_of(w, u, v)};
  }
  Values grad(const Values&, const Values&, const Values&) const override { return {}; }
  int in_place(int output) const override { return output == 0 ? 1 : -1; }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const Matrix size = matrix_of(in[0].shape);
    Kernel kernel = group_kernel<PowerIterationArgs>(
        size,
        [](const Matrix& m, const Call& call) {
          return PowerIterationArgs{call.input<float>(0),
                                    call.input<float>(1),
                                    call.output<float>(0),
                                    call.output<float>(1),
                                    call.output<float>(2),
                                    m.rows,
                                    m.columns,
                                    call.workspace,
                                    static_cast<unsigned*>(call.persistent)};
        },
        [](const auto& stream, std::span<const PowerIterationArgs> layers) { power_iteration(stream, layers); });
    kernel.workspace = power_iteration_workspace(size.rows, size.columns);
    kernel.persistent = sizeof(unsigned);
    return kernel;
  }
  Cost cost(const Types& in) const override {
    const double n = static_cast<double>(in[0].shape.elements());
    return {4 * n, 4 * n};
  }
};

/// w, u, v, sigma, dy → dy / sigma − (Σ dy·w / sigma²)·u·vᵀ, of w's shape
class SpectralGradOp : public Op {
 public:
  std::string describe() const override { return "spectral_grad"; }
  Types infer(const Types& in) const override {
    require_factors(in);
    require(in[4] == in[0], fmt::format("w is {}, dy {}", in[0].str(), in[4].str()));
    return {in[0]};
  }
  Values expand(const Values& in) const override {
    const Value sigma = sigma_of(in[0], in[1], in[2]), s = sum(in[4] * in[0]) / square(sigma);
    const Value product = matmul(reshape(in[1], {-1, 1}), reshape(in[2], {1, -1}));
    return {in[4] / sigma - s * reshape(product, in[0].shape())};
  }
  int in_place(int) const override { return 4; }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    Kernel kernel = group_kernel<SpectralGradArgs>(
        matrix_of(in[0].shape),
        [](const Matrix& m, const Call& call) {
          return SpectralGradArgs{call.input<float>(0),
                                  call.input<float>(1),
                                  call.input<float>(2),
                                  call.input<float>(3),
                                  call.input<float>(4),
                                  call.output<float>(0),
                                  m.rows,
                                  m.columns,
                                  call.workspace,
                                  static_cast<unsigned*>(call.persistent)};
        },
        [](const auto& stream, std::span<const SpectralGradArgs> layers) { spectral_grad(stream, layers); });
    kernel.workspace = spectral_grad_workspace(in[0].shape.elements());
    kernel.persistent = sizeof(unsigned);
    return kernel;
  }
  Cost cost(const Types& in) const override {
    const double n = static_cast<double>(in[0].shape.elements());
    return {5 * n, 16 * n};
  }
};

/// w, u, v, sigma → w / sigma
class SpectralScaleOp : public Op {
 public:
  std::string describe() const override { return "spectral_normalise"; }
  Types infer(const Types& in) const override {
    require_factors(in);
    return {in[0]};
  }
  Values expand(const Values& in) const override { return {in[0] / sigma_of(in[0], in[1], in[2])}; }
  // With s = Σ dy·w / σ²: to w goes dy/σ − s·u·vᵀ, to u −s·w·v, to v −s·wᵀ·u. What nobody asks for is dead code.
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    Graph& graph = dout[0].graph();
    const Value dw = graph.add(SpectralGradOp(), {in[0], in[1], in[2], in[3], dout[0]})[0];
    const Value w = as_matrix(in[0]), s = sum(dout[0] * in[0]) / square(sigma_of(in[0], in[1], in[2]));
    const Value du = neg(s * reshape(matmul(w, reshape(in[2], {-1, 1})), {-1}));
    const Value dv = neg(s * reshape(matmul(reshape(in[1], {1, -1}), w), {-1}));
    return {dw, du, dv, Value()};
  }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return group_kernel<SpectralScaleArgs>(
        in[0].shape.elements(),
        [](std::int64_t size, const Call& call) {
          return SpectralScaleArgs{call.input<float>(0), call.input<float>(3), call.output<float>(0), size};
        },
        [](const auto& stream, std::span<const SpectralScaleArgs> layers) { spectral_scale(stream, layers); });
  }
  Cost cost(const Types& in) const override {
    const double n = static_cast<double>(in[0].shape.elements());
    return {n, 8 * n};
  }
};

}  // namespace

PowerIteration power_iteration(Value w, Value u) {
  const Values out = w.graph().add(PowerIterationOp(), {w, u});
  return {out[0], out[1], out[2]};
}

Value spectral_normalise(Value w, const PowerIteration& iteration) {
  return w.graph().add(SpectralScaleOp(), {w, iteration.u, iteration.v, iteration.sigma})[0];
}

}  // namespace ganforge
