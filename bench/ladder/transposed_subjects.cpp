// Transposed convolutions, 4×4 with stride 2: the rungs, the product's kernels, and the way by a matrix of columns.
#include "bench/ladder/ladder.h"
#include "bench/ladder/subjects.h"
#include "kernels/conv2d.h"
#include "kernels/linear.h"

namespace ganforge::ladder {
namespace {

constexpr Activation leaky{Activation::Kind::leaky_relu, 0.2f};
const ConvEpilogue epilogue{.bias = true, .act = leaky};

ConvPolicy by(ConvMode mode) {
  ConvPolicy policy;
  policy.mode = mode;
  return policy;
}

/// The convolution whose gradient this is: its y is x here.
ConvShape shape_of(int n, int h, int w, int in, int out) {
  ConvShape c{.n = n, .h = 2 * h, .w = 2 * w, .c = out, .k = in, .r = 4, .s = 4, .p = h, .q = w};
  c.stride_h = c.stride_w = 2;
  c.pad_top = c.pad_left = 1;
  return c;
}

std::vector<float> on_cpu(const CpuStream& stream, const ConvShape& c, const std::vector<float>& x,
                          const std::vector<float>& f, const std::vector<float>& b) {
  const ConvPlan<CpuStream> plan = plan_conv2d(stream, ConvDirection::input, c, epilogue, by(ConvMode::library));
  std::vector<float> y(static_cast<std::size_t>(c.x_size()));
  struct alignas(64) Line {
    char bytes[64];
  };
  std::vector<Line> workspace(plan.workspace / sizeof(Line) + 1);
  plan.run(stream, ConvArgs{nullptr, f.data(), x.data(), y.data(), b.data(), nullptr, workspace.data()});
  return y;
}

}  // namespace

std::unique_ptr<Subject> transposed_subject(Device& device, Device& cpu, int n, int h, int w, int in, int out,
                                            bool with_rungs) {
  auto subject = std::make_unique<Subject>();
  const ConvShape c = shape_of(n, h, w, in, out);
  const auto count = [](std::int64_t size) { return static_cast<std::size_t>(size); };
  const std::vector<float> x = random_floats(count(c.y_size()), 1), f = random_floats(count(c.w_size()), 2),
                           b = random_floats(count(c.c), 3);
  const std::vector<float> want = on_cpu(std::get<CpuStream>(cpu.stream()), c, x, f, b);
  const TransposedProblem p{on_device(device, *subject, x),
                            on_device(device, *subject, f),
                            on_device(device, *subject, b),
                            unwritten(device, *subject, want.size()),
                            n,
                            h,
                            w,
                            in,
                            out,
                            leaky.negative_slope};
  subject->flops = 32.0 * static_cast<double>(c.y_size()) * out;
  subject->bytes = 4.0 * static_cast<double>(x.size() + f.size() + b.size() + want.size());
  subject->reset = [] {};
  const auto add = [&](const std::string& name, double tolerance, std::function<void()> run) {
    subject->rungs.push_back({name, tolerance, std::move(run), {{p.y, want}}});
  };
  const CudaStream fp32 = std::get<CudaStream>(device.stream());
  const auto rung = [&](const char* name, void (*kernel)(const CudaStream&, const TransposedProblem&),
                        double tolerance) { add(name, tolerance, [=] { kernel(fp32, p); }); };
  if (with_rungs) {
    rung("1 naive", transposed_1_naive, fp32_tolerance);
    rung("2 sub-pixel", transposed_2_subpixel, fp32_tolerance);
  }
  if (with_rungs && in % 32 == 0 && out % 64 == 0) {
    rung("3 shared tiles", transposed_3_shared, fp32_tolerance);
    rung("4 register tiles", transposed_4_registers, fp32_tolerance);
    rung("5 async", transposed_5_async, fp32_tolerance);
    rung("6 mma", transposed_6_mma, tf32_tolerance);
  }
  float* const columns = unwritten(device, *subject, count(c.y_size() / in * 16 * out));
  for (const Precision precision : {Precision::fp32, Precision::tf32}) {
    CudaStream stream = fp32;
    stream.precision = precision;
    const double tolerance = precision == Precision::fp32 ? fp32_tolerance : tf32_tolerance;
    const std::string suffix = std::string(", ") + name_of(precision);
    const ConvPlan<CudaStream> plan = plan_conv2d(stream, ConvDirection::input, c, epilogue, by(ConvMode::own));
    const auto zeros = [&](std::size_t bytes) {
      subject->memory.push_back(device.allocate(bytes));
      return subject->memory.back().data();
    };
    ConvArgs args{nullptr, p.f, p.x, p.y, p.b, nullptr, zeros(plan.workspace)};
    args.tickets = static_cast<unsigned*>(zeros(4 * plan.tickets));
    add("ours" + suffix, tolerance, [=] { plan.run(stream, args); });
    add("peer: columns, bias, activation" + suffix, tolerance, [=] {
      linear_input_grad(stream, LinearInputGradArgs{p.x, p.f, nullptr, columns, n * h * w, 16 * out, in, {}});
      peer_gather_columns(stream, p, columns);
      peer_bias_then_act(stream, p.y, p.b, 4 * n * h * w, out, p.slope);
    });
  }
  return subject;
}

}  // namespace ganforge::ladder
