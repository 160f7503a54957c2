// Residual layers: as data, as text, as a function; and the presets that are made of them.
#include "tests/devices.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <cmath>

namespace ganforge {
namespace {

/// A network with a residual layer, one of it with a residual layer of its own.
Sequential nested() {
  const Residual inner{.main = {Conv2d{.out_channels = 4, .kernel = {3}, .padding = {1}}, LeakyReLU{0.3f}},
                       .shortcut = {}};
  return {Conv2d{.out_channels = 4, .kernel = {1}},
          Residual{.main = {inner, Downsample{}, Conv2d{.out_channels = 8, .kernel = {1}}},
                   .shortcut = {AvgPool2d{}, Conv2d{.out_channels = 8, .kernel = {1}, .bias = false}}},
          GlobalSumPool{}, Linear{1}};
}

std::string toml_of(const Sequential& model) {
  Config config = preset("dcgan-28");
  config.discriminator = model;
  return to_toml(config);
}

TEST(Residual, NamesParametersByBranchAndPrintsThem) {
  Device& device = devices()[0];
  VariableStore store(device, 1);
  Network network(store, "net", nested(), {2, 8, 8, 3});
  std::vector<std::string> names;
  for (const Network::Parameter& parameter : network.parameter_list()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "net/0_conv2d/w", "net/0_conv2d/b", "net/1_residual/main/0_residual/main/0_conv2d/w",
                       "net/1_residual/main/0_residual/main/0_conv2d/b", "net/1_residual/main/2_conv2d/w",
                       "net/1_residual/main/2_conv2d/b", "net/1_residual/shortcut/1_conv2d/w", "net/3_linear/w",
                       "net/3_linear/b"}));
  const std::string summary = network.summary();
  // The layer, what it makes and all its parameters; then what it is made of.
  EXPECT_NE(summary.find("\n  residual              [N, 4, 4, 8]                     220\n"
                         "    main residual       [N, 8, 8, 4]                     148\n"
                         "      main conv2d       [N, 8, 8, 4]                     148\n"
                         "      main leaky_relu   [N, 8, 8, 4]                       0\n"
                         "    main downsample     [N, 4, 4, 4]                       0\n"),
            std::string::npos)
      << summary;
  EXPECT_NE(summary.find("\n    shortcut conv2d     [N, 4, 4, 8]                      32\n"), std::string::npos)
      << summary;
  EXPECT_EQ(network.parameter_count(), 16 + 220 + 9);
}

TEST(Residual, IsTheSumOfItsBranches) {
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    const Sequential main = {Conv2d{.out_channels = 3, .kernel = {1}, .init = Initializer::ones()}, LeakyReLU{0.5f}};
    Network network(store, "net", Sequential{Residual{.main = main, .shortcut = {}}}, {1, 1, 2, 3});
    Graph graph;
    const Context context(graph, store, Mode::inference);
    const Value x = reshape(iota(graph, {DType::float32, {6}}, 0) - 2.0, {1, 1, 2, 3});
    graph.output("y", network(context, x));
    Program program = compile(device, graph);
    program.run();
    // Sums of channels: −3 and 6.
    EXPECT_EQ(program.floats("y"), (std::vector<float>{-3.5f, -2.5f, -1.5f, 7, 8, 9}));
  }
}

TEST(Residual, GoesThroughTextAndBack) {
  const std::string text = toml_of(nested());
  EXPECT_NE(text.find("type = 'residual'\nmain = [\n  { type = 'residual', main = [\n"
                      "    { type = 'conv2d', out_channels = 4,"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("], shortcut = [] },\n"), std::string::npos) << text;
  const Config back = parse_config(text, "a.toml");
  EXPECT_EQ(to_toml(back), text);
  EXPECT_EQ(specs_of(back.discriminator)[1].attributes.size(), 2u);
}

TEST(Residual, ComplaintsHaveTheirPlace) {
  const auto expect = [](const std::string& layers, const std::string& what) {
    try {
      parse_config("preset = \"dcgan-28\"\n[[discriminator]]\ntype = \"residual\"\n" + layers, "a.toml");
      ADD_FAILURE() << "accepted: " << layers;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  expect("main = [\n  { type = \"conv2d\" },\n  { type = \"leaky_rely\" },\n]\n",
         "a.toml:6:3: main: unknown layer 'leaky_rely'; did you mean 'leaky_relu'?");
  expect("main = [ { type = \"linear\", out = 3 } ]\n", "a.toml:4:10: main: layer 'linear' has no attribute 'out'");
  expect("shortcut = [ { kernel = 3 } ]\n", "a.toml:4:14: a layer of shortcut has no type");
  expect("main = [ { type = \"residual\", main = [ { type = \"linear\", bias = 3 } ] } ]\n",
         "a.toml:4:40: main: layer 'linear': bias must be true or false");
  expect("main = 3\n", "a.toml:2:1: discriminator: layer 'residual': main must be a list of layers");
  expect("main = [3]\n", "a.toml:2:1: discriminator: layer 'residual': main must be a list of layers");
}

TEST(Residual, RefusesBranchesThatDoNotFit) {
  Device& device = devices()[0];
  const auto expect = [&](const Sequential& model, const std::string& what) {
    VariableStore store(device, 1);
    try {
      Network network(store, "net", model, {2, 4, 4, 3});
      ADD_FAILURE() << "accepted, though: " << what;
    } catch (const ShapeError& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  expect({Residual{.main = {AvgPool2d{}}, .shortcut = {}}},
         "net/0_residual: residual: main makes [2, 2, 2, 3], the shortcut [2, 4, 4, 3], the input");
  expect({Residual{}}, "main has no layers");
  expect({Residual{.main = {Downsample{3}}, .shortcut = {}}}, "net/0_residual/main/0_downsample");
  expect({Basis{{4, 4, 3}}}, "basis of shape [4, 4, 3] takes [N, C] to [N, H, W, C], got [2, 4, 4, 3]");
  expect({Flatten{}, Basis{{4, 4, 3}}}, "got [2, 48]");
  expect({Flatten{}, GlobalSumPool{}}, "global_sum_pool takes images [N, H, W, C], got [2, 48]");
}

TEST(Initializers, ByFanIn) {
  const Shape shape{64, 3, 3, 40};
  const auto deviation = [](const std::vector<float>& values) {
    double squares = 0;
    for (const float value : values) squares += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  EXPECT_NEAR(deviation(initial_values(Initializer::fan_in(2), "w", shape, 1)), 2 / std::sqrt(360.0), 2e-3);
  const std::vector<float> glorot = initial_values(Initializer::glorot_uniform(), "w", shape, 1);
  const std::vector<float> scaled = initial_values(Initializer::glorot_uniform(2), "w", shape, 1);
  for (std::size_t i = 0; i < glorot.size(); ++i) ASSERT_FLOAT_EQ(scaled[i], 2 * glorot[i]);
  for (const char* text : {"fan_in(0.5)", "glorot_uniform", "glorot_uniform(1.5)"})
    EXPECT_EQ(Initializer::parse(text).str(), text);
  EXPECT_EQ(Initializer::parse("glorot_uniform(1)"), Initializer::glorot_uniform());
  EXPECT_THROW(Initializer::parse("fan_in"), ConfigError);
  EXPECT_THROW(Initializer::parse("fan_in(-1)"), ConfigError);
}

struct Preset {
  const char* name;
  Shape sample;
  std::int64_t generator, discriminator;  // parameters
};
const Preset presets[] = {{"r3gan-small", {28, 28, 1}, 176160, 168096},
                          {"r3gan-small-32", {32, 32, 3}, 422272, 414208},
                          {"r3gan-small-64", {64, 64, 3}, 525184, 517120},
                          {"sngan-32", {32, 32, 3}, 4276739, 1053825}};

// Two steps on every backend: the first moves the layers that begin at zero, the second what lies before them.
TEST(ResidualPresets, TrainOnEveryBackend) {
  for (const Preset& p : presets) {
    SCOPED_TRACE(p.name);
    std::vector<std::vector<Stats>> all;
    for (Device& device : devices()) {
      if (device.is_cuda() && &p != &presets[0]) continue;  // the same layers, and slow where a GPU is emulated
      const Dataset data(device, noise_images(16, p.sample));
      TrainerOptions options = trainer_options(preset(p.name));
      options.batch = 2;
      Trainer trainer(device, data, options);
      EXPECT_EQ(trainer.generator().parameter_count(), p.generator);
      EXPECT_EQ(trainer.discriminator().parameter_count(), p.discriminator);
      // The batch of the discriminator, beside the fakes.
      if (options.d_steps == 1) {
        EXPECT_EQ(trainer.program().report().copies.size(), 1u);
      }
      std::vector<Stats> stats;
      trainer.run(
          2, [&](const Stats& s) { stats.push_back(s); }, 1);
      all.push_back(stats);
    }
    for (const std::vector<Stats>& stats : all) {
      ASSERT_EQ(stats.size(), 2u);
      for (std::size_t i = 0; i < stats.size(); ++i) {
        EXPECT_TRUE(std::isfinite(stats[i].d_loss) && std::isfinite(stats[i].g_loss));
        EXPECT_NEAR(stats[i].d_loss, all[0][i].d_loss, 1e-3f) << "step " << i + 1;
        EXPECT_NEAR(stats[i].g_loss, all[0][i].g_loss, 1e-3f) << "step " << i + 1;
      }
    }
  }
}

// oneDNN allocates in every run: the rule must not pick it for these layers.
TEST(ResidualPresets, NoConvolutionIsTheLibrarysOnTheCpu) {
  Device device = Device::cpu(1);
  const Dataset data(device, noise_images(8, {28, 28, 1}));
  TrainerOptions options = trainer_options(preset("r3gan-small"));
  options.batch = 2;
  Trainer trainer(device, data, options);
  int grouped = 0;
  for (const auto& launch : trainer.program().report().launches) {
    EXPECT_NE(launch.note, "oneDNN") << launch.scope << ": " << launch.op;
    grouped += launch.note == "grouped";
  }
  EXPECT_GT(grouped, 20);
}

// The grouped kernel and the other ones against plain loops.
TEST(ResidualPresets, AlgorithmsAgree) {
  std::vector<float> losses[2];
  for (const ConvMode mode : {ConvMode::automatic, ConvMode::direct}) {
    Device device = Device::cpu(2);
    device.conv_policy().mode = mode;
    const Dataset data(device, noise_images(16, {28, 28, 1}));
    TrainerOptions options = trainer_options(preset("r3gan-small"));
    options.batch = 2;
    Trainer trainer(device, data, options);
    trainer.run(
        4,
        [&](const Stats& s) {
          losses[mode == ConvMode::direct].insert(losses[mode == ConvMode::direct].end(),
                                                  {s.d_loss, s.g_loss, s.penalty});
        },
        1);
  }
  ASSERT_EQ(losses[0].size(), 12u);
  for (std::size_t i = 0; i < losses[0].size(); ++i) EXPECT_NEAR(losses[0][i], losses[1][i], 1e-3f) << i;
}

}  // namespace
}  // namespace ganforge
