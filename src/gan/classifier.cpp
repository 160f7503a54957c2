#include "src/data/safetensors.h"
#include "src/gan/checkpoint.h"
#include "src/gan/shapes.h"

#include <ganforge/classifier.h>
#include <ganforge/error.h>
#include <ganforge/gan.h>
#include <ganforge/labels.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace ganforge {
namespace {

constexpr std::int64_t inference_batch = 200, smallest_side = 8, last_side = 7;
constexpr float low = -1, high = 1;
constexpr std::int64_t feature_count = 128;

/// Images to features.
Sequential trunk(const Shape& sample) {
  std::vector<Layer> layers;
  std::int64_t channels = 32;
  for (std::int64_t side = std::max(sample[0], sample[1]); side > last_side; side /= 2) {
    layers.insert(layers.end(), {Conv2d{.out_channels = channels, .padding = {1}, .bias = false},
                                 BatchNorm{.momentum = 0.9f}, ReLU{}, MaxPool2d{}});
    channels = std::min<std::int64_t>(2 * channels, 128);
  }
  layers.insert(layers.end(), {Dropout{0.1f}, Flatten{}, Linear{.out_features = feature_count, .bias = false},
                               BatchNorm{.momentum = 0.9f}, ReLU{}});
  return Sequential(std::move(layers));
}

/// Features to a logit for each class.
Sequential head(std::size_t classes) {
  return {Dropout{0.25f}, Linear{static_cast<std::int64_t>(classes)}};
}

std::vector<float> scaled(const std::uint8_t* pixels, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(pixels[i]) * ((high - low) / 255) + low;
  return values;
}

/// What classify() reads: not the optimiser's state, nor the counters of training.
bool is_of_model(const Variable& variable) {
  const std::string& name = variable.name;
  const bool of_network = name.starts_with("features/") || name.starts_with("classes/");
  return variable.saved && of_network && name.find("/adam_") == std::string::npos;
}

}  // namespace

Classifier::Classifier(Device& device, const Shape& sample, std::vector<std::string> classes,
                       const ClassifierOptions& options)
    : device_(&device), sample_(sample), classes_(std::move(classes)), options_(options) {
  if (sample.rank() != 3 || (sample[2] != 1 && sample[2] != 3) || std::min(sample[0], sample[1]) < smallest_side)
    throw ConfigError(
        fmt::format("a classifier takes images [height, width, 1 or 3] of {0}×{0} pixels or more, got {1}",
                    smallest_side, sample.str()));
  if (classes_.size() < 2)
    throw ConfigError(fmt::format("a classifier needs two classes or more, got {}", classes_.size()));
  store_ = std::make_unique<VariableStore>(device, options.seed);
  trunk_ = std::make_unique<Network>(*store_, "features", trunk(sample), batched(inference_batch, sample));
  head_ = std::make_unique<Network>(*store_, "classes", head(classes_.size()), trunk_->output_shape());
}

void Classifier::train(const Dataset& data, std::int64_t steps,
                       const std::function<void(std::int64_t, float, float)>& callback, std::int64_t every,
                       const std::function<bool()>& stop) {
  if (data.sample() != sample_ || !data.has_labels() || data.classes().size() != classes_.size())
    throw ShapeError(fmt::format(
        "a classifier of images {} in {} classes cannot learn from {}: images {} in {} classes", sample_.str(),
        classes_.size(), data.name(), data.sample().str(), data.has_labels() ? data.classes().size() : 0));
  const std::int64_t n = std::min(options_.batch, data.count());
  Graph graph;
  Context context(graph, *store_, Mode::training);
  DrawOptions wanted{.rows = n, .labels = true, .low = low, .high = high, .latents = {}, .schedules = {}};
  std::int64_t done = 0;  // by an earlier call
  if (const Variable* tick = store_->find(tick_variable)) store_->download(*tick, &done);
  wanted.schedules = {{Schedule::Kind::cosine, options_.lr, 0, done, done + steps}};
  const Drawn drawn = draw(context, data, wanted);
  const Value logits = (*head_)(context, (*trunk_)(context, drawn.real));
  const CrossEntropy entropy = cross_entropy(logits, drawn.labels);
  const Values below = trunk_->parameters(context), above = head_->parameters(context);
  Values all = below;
  all.insert(all.end(), above.begin(), above.end());
  const Values gradients = grad(entropy.loss, all);
  const auto middle = gradients.begin() + static_cast<std::ptrdiff_t>(below.size());
  adam(context, *trunk_, Values(gradients.begin(), middle), {.lr = options_.lr}, drawn.schedules[0]);
  adam(context, *head_, Values(middle, gradients.end()), {.lr = options_.lr}, drawn.schedules[0]);
  graph.output("loss", entropy.loss);
  graph.output("accuracy", entropy.accuracy);

  Program program = compile(*device_, graph);
  for (std::int64_t step = 1; step <= steps && !(stop && stop()); ++step) {
    program.run();
    if (callback && step % every == 0) callback(step, program.floats("loss")[0], program.floats("accuracy")[0]);
  }
  device_->synchronize();
}

Classifier::Answers Classifier::classify(const HostDataset& images) {
  if (images.sample != sample_ || images.type != DType::uint8)
    throw ShapeError(fmt::format("the classifier takes images {}, those of {} are {}", sample_.str(), images.name,
                                 images.sample.str()));
  if (!inference_) {
    Graph graph;
    Context context(graph, *store_, Mode::inference);
    const Value x = graph.input("x", {DType::float32, batched(inference_batch, sample_)});
    const Value features = (*trunk_)(context, x);
    graph.output("features", features);
    graph.output("classes", argmax((*head_)(context, features), 1));
    inference_ = std::make_unique<Program>(compile(*device_, graph));
  }
  const auto pixels = static_cast<std::size_t>(sample_.elements());
  Answers answers;
  answers.features.count = images.count;
  answers.features.size = feature_count;
  answers.classes.resize(static_cast<std::size_t>(images.count));
  answers.features.values.resize(static_cast<std::size_t>(images.count * feature_count));
  std::vector<float> features(inference_batch * feature_count);
  std::vector<std::int32_t> classes(inference_batch);
  for (std::int64_t done = 0; done < images.count; done += inference_batch) {
    const auto begin = static_cast<std::size_t>(done);
    const auto rows = static_cast<std::size_t>(std::min(inference_batch, images.count - done));
    std::vector<float> x = scaled(images.pixels.data() + begin * pixels, rows * pixels);
    x.resize(inference_batch * pixels);
    inference_->upload("x", x.data(), x.size() * sizeof(float));
    inference_->run();
    inference_->download("features", features.data(), features.size() * sizeof(float));
    inference_->download("classes", classes.data(), classes.size() * sizeof(std::int32_t));
    std::copy_n(features.begin(), rows * feature_count, answers.features.values.begin() + done * feature_count);
    std::copy_n(classes.begin(), rows, answers.classes.begin() + done);
  }
  return answers;
}

double Classifier::accuracy(const HostDataset& images) {
  const std::vector<std::int32_t> classes = classify(images).classes;
  std::int64_t right = 0;
  for (std::size_t i = 0; i < classes.size(); ++i) right += classes[i] == images.labels.at(i);
  return static_cast<double>(right) / static_cast<double>(std::max<std::int64_t>(images.count, 1));
}

void Classifier::save(const std::filesystem::path& path, std::map<std::string, std::string> metadata) {
  metadata["ganforge.classifier"] = GANFORGE_VERSION;
  metadata["sample"] =
      nlohmann::json(std::vector<std::int64_t>(sample_.extents().begin(), sample_.extents().end())).dump();
  metadata["classes"] = nlohmann::json(classes_).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  metadata["feature_layer"] = trunk_->parameter_list().back().name;
  write_variables(path, *store_, is_of_model, metadata);
  metadata_ = std::move(metadata);
}

Classifier Classifier::load(Device& device, const std::filesystem::path& path) {
  const Safetensors file = read_safetensors(path);
  if (!file.metadata.contains("ganforge.classifier"))
    throw FormatError(fmt::format("{}: not a classifier of `ganforge train-classifier`", path.string()));
  const auto damaged = [&](const std::string& what) {
    return FormatError(fmt::format("{}: a classifier of another kind: {}", path.string(), what));
  };
  std::vector<std::int64_t> sample;
  std::vector<std::string> classes;
  try {
    sample = nlohmann::json::parse(file.metadata.at("sample")).get<std::vector<std::int64_t>>();
    classes = nlohmann::json::parse(file.metadata.at("classes")).get<std::vector<std::string>>();
  } catch (const std::exception& error) {
    throw damaged(error.what());
  }
  Classifier classifier(device, Shape(sample), classes);
  VariableStore& store = *classifier.store_;
  for (Variable& variable : store.variables()) {
    if (!is_of_model(variable)) continue;
    const Safetensors::Tensor* tensor = file.find(variable.name);
    if (!tensor || tensor->type != variable.type)
      throw damaged(fmt::format("{} {}", variable.name, tensor ? "is " + tensor->type.str() : "is not there"));
    store.upload(variable, file.data(*tensor));
  }
  classifier.metadata_ = file.metadata;
  return classifier;
}

}  // namespace ganforge
