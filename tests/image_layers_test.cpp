// The layers of pooling, upsampling, norms of single samples and dropout.
#include "tests/graph_support.h"
#include "tests/kernel_test.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

namespace ganforge {
namespace {

TEST(ImageLayers, HaveTheShapesTheySay) {
  Device cpu = Device::cpu(1);
  VariableStore store(cpu, 1);
  const Network network(
      store, "net",
      Sequential{Upsample{}, GroupNorm{2}, LeakyReLU{}, PixelShuffle{2}, Upsample{3, true}, AvgPool2d{{3, 2}, {2}},
                 InstanceNorm{}, MaxPool2d{}, Dropout{}, LayerNorm{}, ReLU{}, GlobalAvgPool{}, LayerNorm{}},
      {2, 3, 4, 8});
  EXPECT_EQ(network.output_shape(), (Shape{2, 2}));
  EXPECT_EQ(network.parameter_count(), 2 * 8 + 3 * 2 * 2);
}

TEST(ImageLayers, FuseTheActivationThatFollows) {
  for (const Layer& norm : {Layer(GroupNorm{2}), Layer(InstanceNorm{}), Layer(LayerNorm{})}) {
    EXPECT_TRUE(norm.fuses_activation()) << norm.type();
    Device cpu = Device::cpu(1);
    VariableStore store(cpu, 1);
    Network network(store, "net", Sequential{norm, Tanh{}}, {2, 3, 4, 8});
    Graph graph;
    graph.output("y", network(Context(graph, store, Mode::training), graph.input("x", f32({2, 3, 4, 8}))));
    const Program program = compile(cpu, graph);
    EXPECT_EQ(program.launches(), 1) << norm.type();
  }
}

TEST(ImageLayers, DropoutIsIdleInInference) {
  Device cpu = Device::cpu(1);
  VariableStore store(cpu, 1);
  Graph graph;
  Context context(graph, store, Mode::inference);
  const Value x = graph.input("x", f32({3}));
  EXPECT_EQ(Dropout{0.5f}(context, x), x);
}

TEST(ImageLayers, AreReadFromModelFiles) {
  const LayerSpec spec{"avg_pool2d", {{"window", std::vector<std::int64_t>{3, 2}}, {"stride", std::int64_t(2)}}};
  const LayerSpec back = make_layer(spec).spec();
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(back.attributes[0].second), (std::vector<std::int64_t>{3, 2}));
  for (const char* type : {"max_pool2d", "upsample", "pixel_shuffle", "global_avg_pool", "instance_norm", "layer_norm",
                           "group_norm", "dropout"})
    EXPECT_STREQ(make_layer({type, {}}).type(), type);
}

/// Stripes of random phase.
HostDataset stripes(std::int64_t count, std::int64_t side) {
  HostDataset data;
  data.name = "stripes";
  data.sample = {side, side, 1};
  data.count = count;
  std::vector<std::uint8_t> pixels;
  for (std::int64_t i = 0; i < count * side * side; ++i)
    pixels.push_back((i % side + i / (side * side) * 7) % 4 < 2 ? 220 : 20);
  data.pixels = std::move(pixels);
  return data;
}

TEST(ImageLayers, TrainOnEveryDevice) {
  TrainerOptions options;
  options.batch = 4;
  options.latent = LatentSpec(6);
  options.generator =
      Sequential{Linear{64},     Reshape{{4, 4, 4}}, Upsample{2, true}, GroupNorm{2}, ReLU{}, Conv2d{4, {3}, {1}, {1}},
                 InstanceNorm{}, LeakyReLU{},        PixelShuffle{},    AvgPool2d{},  Tanh{}};
  options.discriminator = Sequential{
      Conv2d{8, {3}, {1}, {1}}, LeakyReLU{}, MaxPool2d{}, Dropout{0.25f}, LayerNorm{}, Upsample{}, LeakyReLU{},
      GlobalAvgPool{},          Linear{1}};
  std::vector<float> first;
  for (Device& device : devices()) {
    std::vector<float> losses[2];
    for (std::vector<float>& of_run : losses) {
      const Dataset data(device, stripes(16, 8));
      Trainer trainer(device, data, options);
      trainer.run(
          3,
          [&](const Stats& s) {
            of_run.push_back(s.d_loss);
            of_run.push_back(s.g_loss);
          },
          1);
    }
    EXPECT_EQ(losses[0].size(), 6u);
    EXPECT_EQ(losses[0], losses[1]) << device.name();
    if (first.empty()) first = losses[0];
    for (std::size_t i = 0; i < first.size(); ++i)
      EXPECT_NEAR(losses[0][i], first[i], 2e-3f) << i << " on " << device.name();
  }
}

TEST(ImageLayers, SayWhatDoesNotFit) {
  Device cpu = Device::cpu(1);
  VariableStore store(cpu, 1);
  const auto message = [&](Layer layer, const Shape& input) {
    return message_of([&] { Network(store, "net", Sequential{layer}, input); });
  };
  EXPECT_EQ(message(AvgPool2d{{5}, {1}}, {1, 4, 6, 3}),
            "net/0_avg_pool2d: avg_pool2d: no window of 5×5 fits into 4×6 pixels");
  EXPECT_EQ(message(MaxPool2d{{2, 2, 2}, {1}}, {1, 4, 6, 3}),
            "net/0_max_pool2d: max_pool2d: window must be one number or two, got [2, 2, 2]");
  EXPECT_EQ(message(PixelShuffle{2}, {1, 4, 6, 3}),
            "net/0_pixel_shuffle: pixel_shuffle: 3 channels do not divide into 2×2 pixels");
  EXPECT_EQ(message(Dropout{1}, {1, 4}), "net/0_dropout: dropout: rate 1 is not in [0, 1)");
  EXPECT_EQ(message(Upsample{}, {1, 4}), "net/0_upsample: upsample_nearest: images [N, H, W, C] wanted, got [1, 4]");
  EXPECT_NE(message(GroupNorm{3}, {1, 4, 6, 8}).find("8 channels in 3 groups"), std::string::npos);
}

}  // namespace
}  // namespace ganforge
