// Conditional models: layers that read labels, codes, the trainer's step, sampling, checkpoints.
#include "tests/devices.h"
#include "tests/files.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace ganforge {
namespace {

/// A bright row whose place is the class, on a dark image with a little noise.
HostDataset rows_of_light(std::int64_t count, std::int64_t classes, std::int64_t side = 8) {
  HostDataset data{"rows of light", {side, side, 1}, count, {}, {}, {}};
  std::vector<std::uint8_t> pixels;
  std::uint32_t state = 99;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = i % classes;
    data.labels.push_back(static_cast<std::int32_t>(label));
    for (std::int64_t y = 0; y < side; ++y)
      for (std::int64_t x = 0; x < side; ++x) {
        state = state * 1664525u + 1013904223u;
        pixels.push_back(static_cast<std::uint8_t>((y == label ? 200 : 0) + (state >> 28)));
      }
  }
  for (std::int64_t c = 0; c < classes; ++c) data.classes.push_back("row " + std::to_string(c));
  data.pixels = std::move(pixels);
  return data;
}

TrainerOptions options_with(Sequential generator, Sequential discriminator) {
  TrainerOptions o;
  o.generator = std::move(generator);
  o.discriminator = std::move(discriminator);
  o.latent = 6;
  o.batch = 16;
  return o;
}

const Sequential rows_generator{
    EmbeddingMultiply{}, LabelConcat{}, Linear{32},        BatchNorm{.momentum = 0.9f}, ReLU{},
    Linear{64},          Tanh{},        Reshape{{8, 8, 1}}};

TrainerOptions concatenating() {
  return options_with({LabelConcat{}, Linear{32}, LeakyReLU{}, Linear{64}, Tanh{}, Reshape{{8, 8, 1}}},
                      {LabelConcat{}, Conv2d{.out_channels = 8, .kernel = {3}, .stride = {2}, .padding = {1}},
                       LeakyReLU{}, Flatten{}, Linear{1}});
}
TrainerOptions embedding() {
  return options_with({EmbeddingConcat{.features = 3}, Linear{32}, ConditionalBatchNorm{.momentum = 0.9f}, ReLU{},
                       Linear{64}, Tanh{}, Reshape{{8, 8, 1}}},
                      {EmbeddingConcat{.features = 2}, Flatten{}, Linear{32}, LeakyReLU{}, ProjectionHead{}});
}
TrainerOptions classifying() {
  return options_with(rows_generator, {Flatten{}, Linear{32}, LeakyReLU{}, ClassHead{}, Linear{1}});
}
TrainerOptions coding() {
  TrainerOptions o =
      options_with({Linear{32}, LeakyReLU{}, Linear{64}, Tanh{}, Reshape{{8, 8, 1}}},
                   {Flatten{}, Linear{32}, LeakyReLU{}, CodeHead{.codes = 5, .features = 16}, Linear{1}});
  o.codes = {.categories = 3, .continuous = 2};
  return o;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// What a network makes of x and labels, by its initial weights or `weights`.
std::vector<float> run_layers(Device& device, const Sequential& model, const Shape& shape, const std::vector<float>& x,
                              const std::vector<std::int32_t>& labels, std::int64_t classes,
                              const std::vector<float>& weights = {}, int groups = 1, Mode mode = Mode::training) {
  VariableStore store(device, 1);
  Network network(store, "net", model, shape, classes);
  if (!weights.empty()) store.upload(network.weights(), weights.data());
  Graph graph;
  const Context context(graph, store, mode);
  const Value y = network(context.labels(graph.input("labels", {DType::int32, {shape[0]}}), classes).groups(groups),
                          graph.input("x", {DType::float32, shape}));
  graph.output("y", y);
  Program program = compile(device, graph);
  program.upload("x", x.data(), x.size() * sizeof(float));
  program.upload("labels", labels.data(), labels.size() * sizeof(std::int32_t));
  program.run();
  return program.floats("y");
}

TEST(Conditional, OneHotGoesBehindVectorsAndPlanesBehindImages) {
  for (Device& device : devices()) {
    EXPECT_EQ(run_layers(device, {LabelConcat{}}, {2, 1}, {7, 8}, {2, 0}, 3),
              (std::vector<float>{7, 0, 0, 1, 8, 1, 0, 0}));
    EXPECT_EQ(run_layers(device, {LabelConcat{}}, {1, 1, 2, 1}, {7, 8}, {1}, 2),
              (std::vector<float>{7, 0, 1, 8, 0, 1}));
  }
}

TEST(Conditional, EmbeddingsAreRowsOfTheirTable) {
  for (Device& device : devices()) {
    // Weights start on 16 numbers.
    const std::vector<float> table = {1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(run_layers(device, {EmbeddingMultiply{}}, {3, 2}, {10, 10, 1, 1, 2, 2}, {2, 0, 2}, 3, table),
              (std::vector<float>{50, 60, 1, 2, 10, 12}));
    EXPECT_EQ(run_layers(device, {EmbeddingConcat{.features = 2}}, {2, 1}, {9, 8}, {1, 0}, 3, table),
              (std::vector<float>{9, 3, 4, 8, 1, 2}));
  }
}

// ⟨w + e(y), x⟩ + b
TEST(Conditional, ProjectionHeadAddsTheInnerProduct) {
  for (Device& device : devices()) {
    std::vector<float> weights(48, 0.0f);
    weights[0] = 1, weights[1] = -1;                                       // w
    weights[16] = 0.5f;                                                    // b
    weights[32] = 2, weights[33] = 3, weights[34] = 10, weights[35] = 20;  // e
    const std::vector<float> y = run_layers(device, {ProjectionHead{}}, {2, 2}, {1, 2, 3, 4}, {0, 1}, 2, weights);
    ASSERT_EQ(y.size(), 2u);
    EXPECT_FLOAT_EQ(y[0], -1 + 0.5f + 2 + 6);
    EXPECT_FLOAT_EQ(y[1], -1 + 0.5f + 30 + 80);
  }
}

// γ and β of the sample's class; statistics of all samples of a group.
TEST(Conditional, BatchNormScalesByClass) {
  for (Device& device : devices()) {
    std::vector<float> weights(32, 0.0f);
    weights[0] = 1, weights[1] = 10;     // γ of two classes, one channel
    weights[16] = 0, weights[17] = 100;  // β
    const std::vector<float> y =
        run_layers(device, {ConditionalBatchNorm{.eps = 0}}, {4, 1}, {-1, 1, 4, 8}, {0, 1, 1, 0}, 2, weights, 2);
    const float wanted[] = {-1, 110, 90, 1};
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(y[i], wanted[i], 1e-4f);
    const std::vector<float> inference =
        run_layers(device, {ConditionalBatchNorm{.eps = 0}}, {2, 1}, {3, 3}, {0, 1}, 2, weights, 1, Mode::inference);
    EXPECT_NEAR(inference[0], 3, 1e-5f);
    EXPECT_NEAR(inference[1], 130, 1e-4f);
  }
}

TEST(Conditional, LearnsWhatIsAskedFor) {
  Device& device = devices()[0];
  const Dataset data(device, rows_of_light(256, 8));
  int model = 0;
  for (TrainerOptions options : {concatenating(), embedding(), classifying()}) {
    SCOPED_TRACE(model++);
    options.generator_adam.lr = options.discriminator_adam.lr = 2e-3f;
    Trainer trainer(device, data, options);
    EXPECT_EQ(trainer.classes().size(), 8u);
    trainer.run(3000);
    // The brightest row is that of the class.
    const Samples samples = trainer.sample(80);
    int right = 0;
    for (std::size_t i = 0; i < 80; ++i) {
      float row[8] = {};
      for (std::size_t p = 0; p < 64; ++p) row[p / 8] += samples.values[i * 64 + p];
      right += std::max_element(row, row + 8) - row == static_cast<std::ptrdiff_t>(i % 8);
    }
    EXPECT_GE(right, 64) << right << " of 80";
  }
}

TEST(Conditional, ReportsItsLossesAndOnlyThose) {
  for (Device& device : devices()) {
    const Dataset data(device, rows_of_light(64, 4));
    Trainer plain(device, data, concatenating()), classifier(device, data, classifying()),
        coder(device, data, coding());
    const Stats a = train(plain, 2).back(), b = train(classifier, 2).front(), c = train(coder, 2).front();
    EXPECT_FALSE(a.class_loss || a.class_accuracy || a.class_agreement || a.code_loss);
    ASSERT_TRUE(b.class_loss && b.class_accuracy && b.class_agreement && !b.code_loss);
    EXPECT_NEAR(*b.class_loss, std::log(4.0f), 0.8f);
    EXPECT_TRUE(*b.class_accuracy >= 0 && *b.class_accuracy <= 1 && *b.class_agreement >= 0 && *b.class_agreement <= 1);
    ASSERT_TRUE(c.code_loss && !c.class_loss);
    EXPECT_NEAR(*c.code_loss, std::log(3.0f) + 0.1f / 3, 0.8f);
  }
}

// InfoGAN: what D finds again in the image is what G was given.
TEST(Conditional, CodesAreFoundAgain) {
  Device& device = devices()[0];
  const Dataset data(device, rows_of_light(256, 3));
  Trainer trainer(device, data, coding());
  EXPECT_TRUE(trainer.classes().empty());
  const std::vector<Stats> stats = train(trainer, 1500);
  EXPECT_LT(*stats.back().code_loss, 0.3f * *stats.front().code_loss);
  // The category shows in the image: far more between categories than between latents.
  const auto images = [&](std::vector<std::int32_t> categories, std::vector<std::int64_t> latents) {
    return trainer
        .sample(2, {.latents = std::move(latents), .categories = std::move(categories), .continuous = {0, 0, 0, 0}})
        .values;
  };
  const auto distance = [](const std::vector<float>& pair) {
    double sum = 0;
    for (std::size_t p = 0; p < 64; ++p) sum += std::abs(static_cast<double>(pair[p] - pair[64 + p]));
    return sum;
  };
  EXPECT_GT(distance(images({0, 1}, {0, 0})) + distance(images({1, 2}, {0, 0})),
            1.5 * (distance(images({0, 0}, {0, 1})) + distance(images({1, 1}, {0, 1}))));
}

// Real and generated samples, penalties at points between them, several updates: labels stay with their samples.
TEST(Conditional, GoesWithPenaltiesAndSeveralUpdates) {
  for (Device& device : devices()) {
    const Dataset data(device, rows_of_light(128, 4));
    for (const Penalty::Kind kind : {Penalty::Kind::r1, Penalty::Kind::gp, Penalty::Kind::dragan}) {
      for (TrainerOptions options : {embedding(), classifying()}) {
        options.penalties = {{.kind = kind, .weight = 1}};
        options.d_steps = 2;
        options.fresh_latents = true;
        options.objective = Objective::relativistic_paired;
        Trainer trainer(device, data, options);
        for (const Stats& s : train(trainer, 5))
          EXPECT_TRUE(std::isfinite(s.d_loss) && std::isfinite(s.g_loss) && s.penalty > 0);
      }
    }
  }
}

TEST(Conditional, SamplesAreWhatIsAskedFor) {
  for (Device& device : devices()) {
    const Dataset data(device, rows_of_light(64, 4));
    Trainer trainer(device, data, concatenating());
    trainer.run(3);
    const std::vector<float> in_turn = trainer.sample(6, 7).values;
    EXPECT_EQ(trainer.sample(6, {.seed = 7, .latents = {0, 1, 2, 3, 4, 5}, .labels = {0, 1, 2, 3, 0, 1}}).values,
              in_turn);
    // Sample 70 alone is that of 71.
    const std::vector<float> many = trainer.sample(71, 7).values,
                             one = trainer.sample(1, {.seed = 7, .latents = {70}, .labels = {2}}).values;
    EXPECT_TRUE(std::equal(one.begin(), one.end(), many.end() - 64));
    EXPECT_NE(trainer.sample(1, {.seed = 7, .latents = {70}, .labels = {1}}).values, one);

    const Samples picture = trainer.picture(64, 7);
    EXPECT_EQ(picture.columns, 10);
    EXPECT_EQ(picture.shape, (Shape{40, 8, 8, 1}));
    EXPECT_TRUE(std::equal(picture.values.begin(), picture.values.begin() + 64, in_turn.begin()));
    EXPECT_EQ(error_of([&] { trainer.sample(2, {.labels = {0, 4}}); }), "class 4 is not one of 0 to 3");
    EXPECT_EQ(error_of([&] { trainer.sample(2, {.labels = {0}}); }), "2 samples want 2 classes, got 1");
    EXPECT_EQ(error_of([&] {
                trainer.sample(2, {.categories = {0, 1}});
              }),
              "categories were asked for, but the model takes none");

    Trainer coder(device, data, coding());
    const Samples codes = coder.picture();
    EXPECT_EQ(codes.shape, (Shape{30, 8, 8, 1}));
    EXPECT_EQ(error_of([&] { coder.sample(1, {.labels = {0}}); }), "classes were asked for, but the model takes none");
    EXPECT_EQ(coder.sample(5, 3).values, coder.sample(5, 3).values);
  }
}

TEST(Conditional, ResumesToTheBit) {
  for (Device& device : devices()) {
    const test::TemporaryFolder folder;
    const Dataset data(device, rows_of_light(64, 4));
    for (TrainerOptions options : {embedding(), classifying(), coding()}) {
      options.ema_decay = 0.99f;
      Trainer whole(device, data, options), first(device, data, options), second(device, data, options);
      whole.run(20);
      first.run(9);
      first.save(folder.path() / "a.safetensors");
      second.load(folder.path() / "a.safetensors");
      second.run(11);
      EXPECT_EQ(contents(whole), contents(second));
      EXPECT_EQ(whole.sample(9).values, second.sample(9).values);
    }
  }
}

TEST(Conditional, RefusesWhatDoesNotFit) {
  Device& device = devices()[0];
  const test::TemporaryFolder folder;
  const Dataset four(device, rows_of_light(64, 4)), five(device, rows_of_light(64, 5));
  HostDataset unlabelled = rows_of_light(64, 4);
  unlabelled.labels.clear();
  unlabelled.classes.clear();
  const Dataset none(device, std::move(unlabelled));

  EXPECT_NE(error_of([&] {
              Trainer(device, none, classifying());
            }).find("the model is conditional, but rows of light has no labels"),
            std::string::npos);
  Trainer trainer(device, four, classifying()), other(device, five, classifying());
  trainer.save(folder.path() / "four.safetensors");
  const std::string path = (folder.path() / "four.safetensors").string();
  EXPECT_EQ(error_of([&] { other.load(path); }),
            path + ": a checkpoint of another model: it was trained on 4 classes, this model's data have 5");

  TrainerOptions options = classifying();
  options.generator = coding().generator;
  EXPECT_NE(error_of([&] { Trainer(device, four, options); }).find("the generator does not take labels"),
            std::string::npos);
  options = coding();
  options.codes.continuous = 3;
  EXPECT_NE(error_of([&] { Trainer(device, four, options); }).find("finds 5 codes, but the generator gets 6"),
            std::string::npos);
  options = coding();
  options.discriminator = concatenating().discriminator;
  EXPECT_NE(error_of([&] { Trainer(device, four, options); }).find("no code_head"), std::string::npos);
  options = classifying();
  options.classification_weight = 0;
  EXPECT_NE(error_of([&] { Trainer(device, four, options); }).find("classification_weight must be above 0"),
            std::string::npos);
  VariableStore store(device, 1);
  EXPECT_EQ(error_of([&] {
              Network(store, "net", Sequential{LabelConcat{}}, {2, 3});
            }),
            "net/0_label_concat: takes the labels of the batch, which has none");
}

// Two steps of each preset, as one launch; the graphics card with the bits of its own replay and near the CPU.
TEST(Conditional, PresetsTrainEverywhere) {
  for (const char* name : {"cgan-28", "acgan-28", "infogan-28"}) {
    std::vector<std::vector<Stats>> all;
    for (Device& device : devices()) {
      const Dataset data(device, rows_of_light(40, 10, 28));
      TrainerOptions options = trainer_options(preset(name));
      options.batch = 4;
      Trainer trainer(device, data, options);
      EXPECT_TRUE(trainer.program().report().copies.empty()) << name;
      all.push_back(train(trainer, 2));
      ASSERT_EQ(all.back().size(), 2u);
      for (const Stats& s : all.back()) EXPECT_TRUE(std::isfinite(s.d_loss) && std::isfinite(s.g_loss)) << name;
    }
    for (const auto& stats : all) {
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_NEAR(stats[i].d_loss, all[0][i].d_loss, 2e-3f) << name;
        EXPECT_NEAR(stats[i].g_loss, all[0][i].g_loss, 2e-3f) << name;
        EXPECT_NEAR(stats[i].class_loss.value_or(0), all[0][i].class_loss.value_or(0), 2e-3f) << name;
        EXPECT_NEAR(stats[i].code_loss.value_or(0), all[0][i].code_loss.value_or(0), 2e-3f) << name;
      }
    }
  }
}

}  // namespace
}  // namespace ganforge
