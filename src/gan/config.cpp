// Configurations as TOML.
#include "src/gan/choices.h"
#include "src/gan/penalty_toml.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>

namespace ganforge {
namespace {

constexpr std::pair<const char*, Objective> objectives[] = {{"non_saturating", Objective::non_saturating},
                                                            {"saturating", Objective::saturating},
                                                            {"least_squares", Objective::least_squares},
                                                            {"hinge", Objective::hinge},
                                                            {"wasserstein", Objective::wasserstein},
                                                            {"relativistic_paired", Objective::relativistic_paired},
                                                            {"relativistic_average", Objective::relativistic_average}};

constexpr std::pair<const char*, ConvMode> conv_modes[] = {{"auto", ConvMode::automatic},
                                                           {"library", ConvMode::library},
                                                           {"own", ConvMode::own},
                                                           {"direct", ConvMode::direct}};

constexpr std::pair<const char*, Precision> precisions[] = {{name_of(Precision::fp32), Precision::fp32},
                                                            {name_of(Precision::tf32), Precision::tf32},
                                                            {name_of(Precision::bf16), Precision::bf16}};

const toml::table* find_table(TableReader& reader, const char* key) {
  const toml::node* node = reader.find(key);
  if (node && !node->is_table()) reader.fail(*node, reader.path(key) + " must be a table");
  return node ? node->as_table() : nullptr;
}

std::vector<std::int64_t> whole_numbers(const TableReader& reader, const toml::node& node, const std::string& what) {
  std::vector<std::int64_t> values;
  const toml::array* array = node.as_array();
  if (!array) reader.fail(node, what + " must be a list of whole numbers");
  for (const toml::node& element : *array) {
    const auto value = element.value_exact<std::int64_t>();
    if (!value) reader.fail(element, what + " must be a list of whole numbers");
    values.push_back(*value);
  }
  return values;
}

LayerSpec layer_spec(const toml::table& table, const std::string& where, const std::string& source);

Attribute attribute_of(const TableReader& reader, const toml::node& node, const std::string& what,
                       const std::string& source) {
  if (const auto value = node.value_exact<bool>()) return *value;
  if (const auto value = node.value_exact<std::int64_t>()) return *value;
  if (const auto value = node.value_exact<double>()) return static_cast<float>(*value);
  if (const auto value = node.value_exact<std::string>()) return *value;
  if (const toml::array* array = node.as_array(); array && array->is_array_of_tables()) {
    std::vector<LayerSpec> layers;
    for (const toml::node& layer : *array) layers.push_back(layer_spec(*layer.as_table(), what, source));
    return layers;
  }
  return whole_numbers(reader, node, what);
}

/// Checked, so that a complaint has the place of the innermost layer that it is about.
LayerSpec layer_spec(const toml::table& table, const std::string& where, const std::string& source) {
  const TableReader reader(table, where, source);
  LayerSpec spec;
  const auto type = table["type"].value_exact<std::string>();
  if (!type) reader.fail(table, fmt::format("a layer of {} has no type", where));
  spec.type = *type;
  for (const auto& [key, value] : table) {
    const std::string name(key.str());
    if (name != "type") spec.attributes.emplace_back(name, attribute_of(reader, value, name, source));
  }
  try {
    make_layer(spec);
  } catch (const ConfigError& error) {
    reader.fail(table, fmt::format("{}: {}", where, error.what()));
  }
  return spec;
}

void read_adam(TableReader& parent, const char* key, const std::string& source, AdamOptions& adam, Decay& lr_decay) {
  const toml::table* table = find_table(parent, key);
  if (!table) return;
  TableReader reader(*table, key, source);
  reader.read("lr", adam.lr);
  read_decay(reader, "lr_decay", source, lr_decay);
  reader.read("beta1", adam.beta1);
  reader.read("beta2", adam.beta2);
  reader.read("eps", adam.eps);
  reader.finish();
}

void read_tuned(TableReader& parent, const std::string& source, ConvPolicy& policy) {
  const toml::table* table = find_table(parent, "tuned");
  if (!table) return;
  const TableReader reader(*table, "tuned", source);
  for (const auto& [key, node] : *table) {
    const auto algorithm = node.value_exact<std::string>();
    if (!algorithm) reader.fail(node, "tuned: a convolution's algorithm must be text");
    policy.chosen[std::string(key.str())] = *algorithm;
  }
}

void read_latent(TableReader& parent, const std::string& source, LatentSpec& latent) {
  const toml::table* table = find_table(parent, "latent");
  if (!table) return;
  TableReader reader(*table, "latent", source);
  if (const toml::node* node = reader.find("shape")) {
    try {
      latent.shape = Shape(whole_numbers(reader, *node, "latent.shape"));
    } catch (const ShapeError& error) {
      reader.fail(*node, fmt::format("latent.shape: {}", error.what()));
    }
  }
  std::string distribution = latent.uniform ? "uniform" : "normal";
  reader.read("distribution", distribution);
  if (distribution != "normal" && distribution != "uniform")
    reader.fail(*table->get("distribution"),
                fmt::format("latent.distribution must be normal or uniform, got '{}'", distribution));
  latent.uniform = distribution == "uniform";
  reader.read("low", latent.low);
  reader.read("high", latent.high);
  reader.finish();
}

void read_layers(TableReader& parent, const char* key, const std::string& source, Sequential& model) {
  const toml::node* node = parent.find(key);
  if (!node) return;
  const toml::array* array = node->as_array();
  if (!array || array->empty() || !array->is_array_of_tables())
    parent.fail(*node, fmt::format("{0} must be a list of layers: [[{0}]] with a type each", key));
  std::vector<Layer> layers;
  for (const toml::node& element : *array) layers.push_back(make_layer(layer_spec(*element.as_table(), key, source)));
  model = Sequential(std::move(layers));
}

std::string toml_text(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string toml_attribute(const Attribute& attribute, std::size_t depth = 0) {
  struct Writer {
    std::size_t depth;
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
    std::string operator()(float value) const { return toml_number(value); }
    std::string operator()(const std::string& value) const { return toml_text(value); }
    std::string operator()(const std::vector<std::int64_t>& value) const {
      return fmt::format("[{}]", fmt::join(value, ", "));
    }
    std::string operator()(const std::vector<LayerSpec>& layers) const {
      if (layers.empty()) return "[]";
      const std::string indent(2 * depth, ' ');
      std::string text = "[\n";
      for (const LayerSpec& spec : layers) {
        text += fmt::format("{}  {{ type = {}", indent, toml_text(spec.type));
        for (const auto& [name, value] : spec.attributes)
          text += fmt::format(", {} = {}", name, toml_attribute(value, depth + 1));
        text += " },\n";
      }
      return text + indent + "]";
    }
  };
  return std::visit(Writer{depth}, attribute);
}

std::string toml_layers(const char* key, const Sequential& model) {
  std::string text;
  for (const LayerSpec& spec : specs_of(model)) {
    text += fmt::format("\n[[{}]]\ntype = {}\n", key, toml_text(spec.type));
    for (const auto& [name, value] : spec.attributes) text += fmt::format("{} = {}\n", name, toml_attribute(value));
  }
  return text;
}

std::string toml_adam(const char* key, const AdamOptions& adam, const Decay& lr_decay) {
  return fmt::format("\n[{}]\nlr = {}\n{}beta1 = {}\nbeta2 = {}\neps = {}\n", key, toml_number(adam.lr),
                     toml_decay("lr_decay", lr_decay), toml_number(adam.beta1), toml_number(adam.beta2),
                     toml_number(adam.eps));
}

}  // namespace

Objective objective_named(const std::string& name) {
  return value_of(name, "objective", objectives);
}
std::vector<std::string> objective_names() {
  return words(objectives);
}
ConvMode conv_mode_named(const std::string& name) {
  return value_of(name, "conv", conv_modes);
}
std::vector<std::string> conv_mode_names() {
  return words(conv_modes);
}
Precision precision_named(const std::string& name) {
  return value_of(name, "precision", precisions);
}
std::vector<std::string> precision_names() {
  return words(precisions);
}

TrainerOptions trainer_options(const Config& config) {
  TrainerOptions options = config.training;
  options.generator = config.generator;
  options.discriminator = config.discriminator;
  options.low = config.generator.output_activation().kind == Activation::Kind::sigmoid ? 0.0f : -1.0f;
  options.high = 1.0f;
  const auto to_the_end = [&](Decay& decay) {
    if (decay.end == 0) decay.end = config.steps;
  };
  to_the_end(options.generator_lr_decay);
  to_the_end(options.discriminator_lr_decay);
  for (Penalty& penalty : options.penalties) to_the_end(penalty.decay);
  return options;
}

namespace {

void check(bool ok, const std::string& key, const std::string& wanted, const auto& got) {
  if (!ok) throw ConfigError(fmt::format("{} must be {}, got {}", key, wanted, got));
}

void check_adam(const std::string& key, const AdamOptions& adam) {
  check(std::isfinite(adam.lr) && adam.lr > 0, key + ".lr", "a number above 0", adam.lr);
  check(adam.beta1 >= 0 && adam.beta1 < 1, key + ".beta1", "from 0 to below 1", adam.beta1);
  check(adam.beta2 > 0 && adam.beta2 < 1, key + ".beta2", "above 0 and below 1", adam.beta2);
  check(std::isfinite(adam.eps) && adam.eps > 0, key + ".eps", "a number above 0", adam.eps);
}

}  // namespace

void validate(const TrainerOptions& t) {
  check(t.batch >= 1 && t.batch <= 1'000'000, "batch", "from 1 to 1000000", t.batch);
  check(t.d_steps >= 1 && t.d_steps <= 100, "d_steps", "from 1 to 100", t.d_steps);
  check(t.real_target > 0 && t.real_target <= 1, "real_target", "above 0, at most 1", t.real_target);
  check(t.real_target == 1 || has_target(t.objective), "real_target",
        fmt::format("1 with the objective {}", word_for(objectives, t.objective)), t.real_target);
  check(t.ema_decay >= 0 && t.ema_decay < 1, "ema_decay", "from 0 to below 1", t.ema_decay);
  check(t.ema_half_life >= 0 && std::isfinite(t.ema_half_life), "ema_half_life", "0 (none) or more", t.ema_half_life);
  check(t.ema_decay == 0 || t.ema_half_life == 0, "ema_half_life", "0 where ema_decay is given", t.ema_half_life);
  check(t.weight_clip >= 0 && std::isfinite(t.weight_clip), "weight_clip", "0 (none) or more", t.weight_clip);
  check(t.latent.shape.rank() >= 1 && t.latent.shape.elements() >= 1, "latent.shape", "at least one number",
        t.latent.shape.str());
  if (t.latent.uniform) check(t.latent.low < t.latent.high, "latent.low", "below latent.high", t.latent.low);
  check_adam("generator_adam", t.generator_adam);
  check_adam("discriminator_adam", t.discriminator_adam);
  validate_decay("generator_adam.lr_decay", t.generator_lr_decay);
  validate_decay("discriminator_adam.lr_decay", t.discriminator_lr_decay);
  validate(t.penalties);
}

void validate(const Config& c) {
  validate(c.training);
  check(c.steps >= 1, "steps", "at least 1", c.steps);
  check(c.sample_every >= 0, "sample_every", "0 (never) or more", c.sample_every);
  check(c.checkpoint_every >= 0, "checkpoint_every", "0 (only at the end) or more", c.checkpoint_every);
  check(c.metrics_every >= 1, "metrics_every", "at least 1", c.metrics_every);
  check(c.keep_checkpoints >= 1, "keep_checkpoints", "at least 1", c.keep_checkpoints);
  check(!c.generator.layers().empty(), "generator", "a list of layers", "none");
  check(!c.discriminator.layers().empty(), "discriminator", "a list of layers", "none");
}

std::string to_toml(const Config& c) {
  const TrainerOptions& t = c.training;
  std::string text = fmt::format("# ganforge {}\n", GANFORGE_VERSION);
  if (!c.preset.empty()) text += fmt::format("preset = {}\n", toml_text(c.preset));
  text += fmt::format("data = {}\n", toml_text(c.data));
  if (c.skip_bad) text += "skip_bad = true\n";
  text += fmt::format("steps = {}\nbatch = {}\nseed = {}\n", c.steps, t.batch, t.seed);
  text += fmt::format("sample_every = {}\ncheckpoint_every = {}\nkeep_checkpoints = {}\nmetrics_every = {}\n\n",
                      c.sample_every, c.checkpoint_every, c.keep_checkpoints, c.metrics_every);
  text += fmt::format("objective = \"{}\"\nreal_target = {}\nd_steps = {}\nfresh_latents = {}\nweight_clip = {}\n",
                      word_for(objectives, t.objective), toml_number(t.real_target), t.d_steps, t.fresh_latents,
                      toml_number(t.weight_clip));
  text +=
      fmt::format("ema_decay = {}\nema_half_life = {}\nconv = \"{}\"\nprecision = \"{}\"\n", toml_number(t.ema_decay),
                  toml_number(t.ema_half_life), word_for(conv_modes, c.convolutions.mode), name_of(c.precision));
  if (t.penalties.empty()) text += "penalty = []\n";  // not those of the preset
  text += fmt::format("\n[latent]\nshape = [{}]\ndistribution = \"{}\"\n", fmt::join(t.latent.shape.extents(), ", "),
                      t.latent.uniform ? "uniform" : "normal");
  if (t.latent.uniform)
    text += fmt::format("low = {}\nhigh = {}\n", toml_number(t.latent.low), toml_number(t.latent.high));
  text += toml_adam("generator_adam", t.generator_adam, t.generator_lr_decay) +
          toml_adam("discriminator_adam", t.discriminator_adam, t.discriminator_lr_decay) + toml_penalties(t.penalties);
  if (!c.convolutions.chosen.empty()) text += "\n[tuned]\n";
  for (const auto& [convolution, algorithm] : c.convolutions.chosen)
    text += fmt::format("{} = {}\n", toml_text(convolution), toml_text(algorithm));
  return text + toml_layers("generator", c.generator) + toml_layers("discriminator", c.discriminator);
}

Config parse_config(const std::string& text, const std::string& source) {
  toml::table table;
  try {
    table = toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    const auto& begin = error.source().begin;
    throw ConfigError(fmt::format("{}:{}:{}: {}", source, begin.line, begin.column, error.description()));
  }
  TableReader reader(table, "", source);
  Config c;
  if (const toml::node* node = reader.find("preset")) {
    const auto name = node->value_exact<std::string>();
    if (!name) reader.fail(*node, "preset must be text");
    try {
      c = preset(*name);
    } catch (const ConfigError& error) {
      reader.fail(*node, error.what());
    }
  }
  TrainerOptions& t = c.training;
  reader.read("data", c.data);
  reader.read("skip_bad", c.skip_bad);
  reader.read("steps", c.steps);
  reader.read("batch", t.batch);
  reader.read("seed", t.seed);
  reader.read("sample_every", c.sample_every);
  reader.read("checkpoint_every", c.checkpoint_every);
  reader.read("keep_checkpoints", c.keep_checkpoints);
  reader.read("metrics_every", c.metrics_every);
  read_choice(reader, "objective", objectives, t.objective);
  reader.read("real_target", t.real_target);
  reader.read("d_steps", t.d_steps);
  reader.read("fresh_latents", t.fresh_latents);
  reader.read("weight_clip", t.weight_clip);
  reader.read("ema_decay", t.ema_decay);
  reader.read("ema_half_life", t.ema_half_life);
  read_latent(reader, source, t.latent);
  read_adam(reader, "generator_adam", source, t.generator_adam, t.generator_lr_decay);
  read_adam(reader, "discriminator_adam", source, t.discriminator_adam, t.discriminator_lr_decay);
  read_penalties(reader, source, t.penalties);
  read_choice(reader, "conv", conv_modes, c.convolutions.mode);
  read_choice(reader, "precision", precisions, c.precision);
  read_tuned(reader, source, c.convolutions);
  read_layers(reader, "generator", source, c.generator);
  read_layers(reader, "discriminator", source, c.discriminator);
  reader.finish();
  try {
    validate(c);
  } catch (const ConfigError& error) {
    const std::string what = error.what();  // begins with the key
    if (const auto node = table.at_path(what.substr(0, what.find(' ')))) reader.fail(*node.node(), what);
    throw ConfigError(fmt::format("{}: {}", source, what));
  }
  return c;
}

Config load_config(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  const auto unreadable = [&](const char* why) {
    return FormatError(fmt::format("{}: {}; a TOML file is wanted", path.string(), why));
  };
  if (!std::filesystem::exists(status)) throw unreadable("no such file");
  if (std::filesystem::is_directory(status)) throw unreadable("is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw unreadable("cannot be opened for reading");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return parse_config(text, path.string());
}

}  // namespace ganforge
