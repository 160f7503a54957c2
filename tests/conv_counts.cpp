// Launches the convolutions of the presets, each as a graph of its own, so that a profiler's counts can be told apart.
//   conv_counts [fp32|tf32|bf16] [part of a name]
// A line for each: its name, 2 · products / 10⁹ and the bytes of operands and result, tab-separated.
#include "kernels/conv2d.h"

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

}  // namespace

int main(int argc, char** argv) {
  Device device = Device::cuda();
  device.set_precision(precision_named(argc > 1 ? argv[1] : "tf32"));
  const std::string wanted = argc > 2 ? argv[2] : "";
  const CudaStream& stream = std::get<CudaStream>(device.stream());
  for (const ConvLayer& layer : layers) {
    for (const auto& [direction_name, direction] : directions) {
      const std::string name = std::string(layer.name) + " " + direction_name;
      if (name.find(wanted) == std::string::npos) continue;
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
      const bool weight = direction == ConvDirection::weight, input = direction == ConvDirection::input;
      ConvEpilogue epilogue;
      if (!weight) epilogue = {.bias = true, .act = {Activation::Kind::leaky_relu, 0.2f}};
      const ConvPlan<CudaStream> plan = plan_conv2d(stream, direction, c, epilogue, {.mode = ConvMode::own});
      const auto zeros = [&](std::size_t bytes) {
        Buffer buffer = device.allocate(bytes);
        device.clear(buffer.data(), bytes);
        return buffer;
      };
      const Buffer x = zeros(4 * c.x_size()), w = zeros(4 * c.w_size()), y = zeros(4 * c.y_size()),
                   bias = zeros(4 * c.k), workspace = zeros(plan.workspace), tickets = zeros(4 * plan.tickets);
      const auto floats = [](const Buffer& buffer) { return static_cast<float*>(buffer.data()); };
      ConvArgs args{floats(x),
                    floats(w),
                    floats(y),
                    nullptr,
                    weight ? nullptr : floats(bias),
                    nullptr,
                    workspace.data(),
                    static_cast<unsigned*>(tickets.data())};
      args.out = floats(weight ? w : input ? x : y);
      (weight ? args.w : input ? args.x : args.y) = nullptr;
      device.capture([&] { plan.run(stream, args); })->launch();
      device.synchronize();
      std::printf("%s\t%.3f\t%.0f\n", name.c_str(), 32e-9 * static_cast<double>(c.y_size() * c.c),
                  4.0 * static_cast<double>(c.x_size() + c.w_size() + c.y_size()));
    }
  }
}
