// Bias and activation behind a convolution that a library made.
#include "bench/ladder/ladder.h"
#include "bench/ladder/subjects.h"
#include "kernels/conv_epilogue.cuh"
#include "kernels/conv_epilogue.h"

namespace ganforge::ladder {

std::unique_ptr<Subject> epilogue_subject(Device& device, Device& cpu, int rows, int channels) {
  auto subject = std::make_unique<Subject>();
  const Activation leaky{Activation::Kind::leaky_relu, 0.2f};
  const ConvEpilogue epilogue{.bias = true, .act = leaky};
  const auto size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(channels);
  const std::vector<float> before = random_floats(size, 1), b = random_floats(static_cast<std::size_t>(channels), 2);
  std::vector<float> want = before;
  conv_epilogue(std::get<CpuStream>(cpu.stream()), epilogue, rows, channels, b.data(), nullptr, want.data());

  float* const y = on_device(device, *subject, before);
  const float* const bias = on_device(device, *subject, b);
  subject->bytes = 4.0 * static_cast<double>(2 * size + b.size());
  subject->reset = [&device, y, before] { device.upload(y, before.data(), before.size() * sizeof(float)); };
  const CudaStream stream = std::get<CudaStream>(device.stream());
  const auto add = [&](const std::string& name, std::function<void()> run) {
    subject->rungs.push_back({name, fp32_tolerance, std::move(run), {{y, want}}});
  };
  ConvFinish finish;
  finish.bias = bias;
  finish.act = leaky.kind;
  finish.slope = leaky.negative_slope;
  add("ours", [=] { launch_conv_epilogue(stream, finish, y, rows, channels); });
  add("peer: bias, activation", [=] { peer_bias_then_act(stream, y, bias, rows, channels, leaky.negative_slope); });
  add("peer: bias_act", [=] { peer_bias_act(stream, y, bias, rows, channels, leaky.negative_slope); });
  return subject;
}

}  // namespace ganforge::ladder
