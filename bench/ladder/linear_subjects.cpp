// Fully connected layers: the rungs, the product's kernels, and a product with what follows it in passes of its own.
#include "bench/ladder/ladder.h"
#include "bench/ladder/subjects.h"
#include "kernels/linear.h"

namespace ganforge::ladder {
namespace {

constexpr Activation leaky{Activation::Kind::leaky_relu, 0.2f};

CudaStream stream_of(Device& device, Precision precision) {
  CudaStream stream = std::get<CudaStream>(device.stream());
  stream.precision = precision;
  return stream;
}

constexpr std::pair<Precision, double> precisions[] = {{Precision::fp32, fp32_tolerance},
                                                       {Precision::tf32, tf32_tolerance}};

std::string in(const char* what, Precision precision) {
  return std::string(what) + ", " + name_of(precision);
}

}  // namespace

std::unique_ptr<Subject> linear_subject(Device& device, Device& cpu, int m, int n, int k) {
  auto subject = std::make_unique<Subject>();
  const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  const std::vector<float> x = random_floats(size(m, k), 1), w = random_floats(size(n, k), 2),
                           b = random_floats(size(n, 1), 3);
  std::vector<float> want(size(m, n));
  linear(std::get<CpuStream>(cpu.stream()), LinearArgs{x.data(), w.data(), b.data(), want.data(), m, k, n, leaky});

  const LinearProblem p{on_device(device, *subject, x),
                        on_device(device, *subject, w),
                        on_device(device, *subject, b),
                        unwritten(device, *subject, want.size()),
                        m,
                        n,
                        k,
                        leaky.negative_slope};
  subject->flops = 2.0 * m * n * k;
  subject->bytes = 4.0 * static_cast<double>(x.size() + w.size() + b.size() + want.size());
  subject->reset = [] {};
  const CudaStream fp32 = stream_of(device, Precision::fp32);
  const auto add = [&](const std::string& name, double tolerance, std::function<void()> run) {
    subject->rungs.push_back({name, tolerance, std::move(run), {{p.y, want}}});
  };
  const auto rung = [&](const char* name, void (*f)(const CudaStream&, const LinearProblem&), double tolerance) {
    add(name, tolerance, [=] { f(fp32, p); });
  };
  rung("1 naive", linear_1_naive, fp32_tolerance);
  rung("2 coalesced", linear_2_coalesced, fp32_tolerance);
  rung("3 shared tiles", linear_3_shared, fp32_tolerance);
  if (m % 64 == 0 && n % 64 == 0 && k % 32 == 0) {
    rung("4 register tiles", linear_4_registers, fp32_tolerance);
    rung("5 vectors", linear_5_vectors, fp32_tolerance);
    rung("6 async", linear_6_async, fp32_tolerance);
    rung("7 mma", linear_7_mma, tf32_tolerance);
  }
  for (const auto& [precision, tolerance] : precisions) {
    const CudaStream stream = stream_of(device, precision);
    const LinearArgs fused{p.x, p.w, p.b, p.y, m, k, n, leaky}, plain{p.x, p.w, nullptr, p.y, m, k, n, {}};
    add(in("ours", precision), tolerance, [=] { linear(stream, fused); });
    add(in("peer: product, bias, activation", precision), tolerance, [=] {
      linear(stream, plain);
      peer_bias_then_act(stream, p.y, p.b, m, n, p.slope);
    });
    add(in("peer: product, bias_act", precision), tolerance, [=] {
      linear(stream, plain);
      peer_bias_act(stream, p.y, p.b, m, n, p.slope);
    });
  }
  return subject;
}

std::unique_ptr<Subject> linear_gradient_subject(Device& device, Device& cpu, int m, int n, int k) {
  auto subject = std::make_unique<Subject>();
  const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  const std::vector<float> dz = random_floats(size(m, n), 1), w = random_floats(size(n, k), 2),
                           x = random_floats(size(m, k), 3);
  std::vector<float> want_dx(size(m, k)), want_dw(size(n, k)), want_db(size(n, 1));
  const CpuStream& host = std::get<CpuStream>(cpu.stream());
  linear_input_grad(host, LinearInputGradArgs{dz.data(), w.data(), x.data(), want_dx.data(), m, k, n, leaky});
  const LinearWeightGradArgs host_weights{dz.data(), x.data(), want_dw.data(), want_db.data(), m, k, n};
  linear_weight_grad(host, {&host_weights, 1});

  const float *d_dz = on_device(device, *subject, dz), *d_w = on_device(device, *subject, w),
              *d_x = on_device(device, *subject, x);
  float *dx = unwritten(device, *subject, want_dx.size()), *dw = unwritten(device, *subject, want_dw.size()),
        *db = unwritten(device, *subject, want_db.size());
  subject->flops = 4.0 * m * n * k;
  subject->bytes = 4.0 * static_cast<double>(2 * dz.size() + 2 * x.size() + w.size() + want_dx.size() + want_dw.size() +
                                             want_db.size());
  subject->reset = [] {};
  for (const auto& [precision, tolerance] : precisions) {
    const CudaStream stream = stream_of(device, precision);
    const std::vector<Output> outputs = {{dx, want_dx}, {dw, want_dw}, {db, want_db}};
    subject->rungs.push_back({in("ours", precision), tolerance,
                              [=] {
                                linear_input_grad(stream, LinearInputGradArgs{d_dz, d_w, d_x, dx, m, k, n, leaky});
                                const LinearWeightGradArgs weights{d_dz, d_x, dw, db, m, k, n};
                                linear_weight_grad(stream, {&weights, 1});
                              },
                              outputs});
    subject->rungs.push_back({in("peer: products, act_grad, bias sum", precision), tolerance,
                              [=] {
                                linear_input_grad(stream, LinearInputGradArgs{d_dz, d_w, nullptr, dx, m, k, n, {}});
                                peer_act_grad(stream, dx, d_x, dx, m * k, leaky.negative_slope);
                                const LinearWeightGradArgs weights{d_dz, d_x, dw, nullptr, m, k, n};
                                linear_weight_grad(stream, {&weights, 1});
                                peer_bias_grad(stream, d_dz, db, m, n);
                              },
                              outputs});
  }
  return subject;
}

}  // namespace ganforge::ladder
