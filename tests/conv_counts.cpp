// Launches the convolutions of the presets, each as a graph of its own, so that a profiler's counts can be told apart.
//   conv_counts [fp32|tf32|bf16] [part of a name]
// A line for each: its name, 2 · products / 10⁹ and the bytes of operands and result, tab-separated.
#include "kernels/conv2d.h"
#include "kernels/conv_norm.h"

#include <ganforge/device.h>
#include <ganforge/gan.h>

#include <cstdio>
#include <string>
#include <variant>

using namespace ganforge;

namespace {

struct ConvLayer {
  const char* name;
  std::int64_t size, c, k;  // of x; y is half as large
};
constexpr ConvLayer layers[] = {{"dcgan-28 28x28 1-64", 28, 1, 64},       {"dcgan-28 14x14 64-128", 14, 64, 128},
                                {"dcgan-64 64x64 3-64", 64, 3, 64},       {"dcgan-64 32x32 64-128", 32, 64, 128},
                                {"dcgan-64 16x16 128-256", 16, 128, 256}, {"dcgan-64 8x8 256-512", 8, 256, 512}};
constexpr std::pair<const char*, ConvDirection> directions[] = {
    {"forward", ConvDirection::forward}, {"input", ConvDirection::input}, {"weight", ConvDirection::weight}};

Buffer zeros(Device& device, std::int64_t floats) {
  Buffer buffer = device.allocate(4 * floats);
  device.clear(buffer.data(), buffer.bytes());
  return buffer;
}
float* floats(const Buffer& buffer) {
  return static_cast<float*>(buffer.data());
}

/// Operands and memory of a convolution: what it makes, and what it does not read, is null.
struct Operands {
  Buffer x, w, y, bias, workspace, tickets;
  ConvArgs args{};

  Operands(Device& device, const ConvShape& c, ConvDirection direction, std::size_t workspace_bytes,
           std::size_t counters)
      : x(zeros(device, c.x_size())),
        w(zeros(device, c.w_size())),
        y(zeros(device, c.y_size())),
        bias(zeros(device, c.k)),
        workspace(zeros(device, static_cast<std::int64_t>(workspace_bytes / 4))),
        tickets(zeros(device, static_cast<std::int64_t>(counters))) {
    const bool weight = direction == ConvDirection::weight, input = direction == ConvDirection::input;
    args = {floats(x), floats(w), floats(y),        floats(weight ? w : input ? x : y),
            nullptr,   nullptr,   workspace.data(), static_cast<unsigned*>(tickets.data())};
    (weight ? args.w : input ? args.x : args.y) = nullptr;
  }
};

void report(const std::string& name, const ConvShape& c, std::int64_t floats_moved) {
  std::printf("%s\t%.3f\t%.0f\n", name.c_str(), 32e-9 * static_cast<double>(c.y_size() * c.c),
              4.0 * static_cast<double>(floats_moved));
}

void count(Device& device, const std::string& name, const ConvShape& c, ConvDirection direction) {
  const CudaStream& stream = std::get<CudaStream>(device.stream());
  ConvEpilogue epilogue;
  if (direction != ConvDirection::weight) epilogue = {.bias = true, .act = {Activation::Kind::leaky_relu, 0.2f}};
  const ConvPlan<CudaStream> plan = plan_conv2d(stream, direction, c, epilogue, {.mode = ConvMode::own});
  Operands o(device, c, direction, plan.workspace, plan.tickets);
  if (epilogue.bias) o.args.bias = floats(o.bias);
  device.capture([&] { plan.run(stream, o.args); })->launch();
  device.synchronize();
  report(name, c, c.x_size() + c.w_size() + c.y_size());
}

/// With the batch norm of the result (two groups, as in a discriminator), or its gradient.
void count_norm(Device& device, const std::string& name, const ConvShape& c, bool gradient) {
  const CudaStream& stream = std::get<CudaStream>(device.stream());
  const ConvDirection direction = gradient ? ConvDirection::input : ConvDirection::forward;
  const std::int64_t channels = gradient ? c.c : c.k, size = gradient ? c.x_size() : c.y_size();
  const Buffer numbers = zeros(device, 10 * channels), image = zeros(device, size);
  const auto of_channel = [&](int i) { return floats(numbers) + i * channels; };
  const auto fill = [&](auto& norm) {
    norm.gamma = of_channel(0), norm.beta = of_channel(1), norm.mean = of_channel(2), norm.var = of_channel(4);
    norm.rows = size / channels / 2, norm.channels = channels, norm.groups = 2, norm.eps = 1e-5f;
    norm.act = {Activation::Kind::leaky_relu, 0.2f};
  };
  const auto launch = [&](const auto& plan, const auto& norm, bool stored) {
    Operands o(device, c, direction, plan.workspace, plan.tickets);
    if (!stored) o.args.out = nullptr;
    auto with = norm;
    if (stored) with.x = o.args.out;
    device.capture([&] { plan.run(stream, o.args, with); })->launch();
    device.synchronize();
  };
  ConvPolicy own;
  own.mode = ConvMode::own;
  if (gradient) {
    const Buffer h = zeros(device, size);
    BatchNormGradArgs norm{};
    fill(norm);
    norm.x = floats(h), norm.dx = floats(image), norm.dgamma = of_channel(6), norm.dbeta = of_channel(7);
    launch(plan_conv_norm_grad(stream, direction, c, 2, own), norm, false);
    report(name, c, 2 * c.x_size() + c.w_size() + c.y_size());
  } else {
    BatchNormArgs norm{};
    fill(norm);
    norm.running_mean = of_channel(6), norm.running_var = of_channel(7);
    norm.new_running_mean = of_channel(8), norm.new_running_var = of_channel(9);
    norm.y = floats(image), norm.momentum = 0.9f;
    launch(plan_conv_norm(stream, direction, c, {}, 2, own), norm, true);
    report(name, c, c.x_size() + c.w_size() + 2 * c.y_size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  Device device = Device::cuda();
  device.set_precision(precision_named(argc > 1 ? argv[1] : "tf32"));
  const std::string part = argc > 2 ? argv[2] : "";
  const auto wanted = [&](const std::string& name) { return name.find(part) != std::string::npos; };
  for (const ConvLayer& layer : layers) {
    ConvShape c{.n = 64,
                .h = layer.size,
                .w = layer.size,
                .c = layer.c,
                .k = layer.k,
                .r = 4,
                .s = 4,
                .p = layer.size / 2,
                .q = layer.size / 2};
    c.stride_h = c.stride_w = 2;
    c.pad_top = c.pad_left = 1;
    for (const auto& [direction_name, direction] : directions) {
      const std::string name = std::string(layer.name) + " " + direction_name;
      if (wanted(name)) count(device, name, c, direction);
    }
    for (const bool gradient : {false, true}) {
      const std::string name = std::string(layer.name) + (gradient ? " input, norm gradient" : " forward, norm");
      if (layer.c > 4 && wanted(name)) count_norm(device, name, c, gradient);
    }
  }
}
