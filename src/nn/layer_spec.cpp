// Layers as data: what a model file says.
#include "src/core/nearest.h"

#include <ganforge/error.h>
#include <ganforge/layers.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <tuple>

namespace ganforge {
namespace {

using KnownLayers = std::tuple<Linear, Conv2d, ConvTranspose2d, BatchNorm, InstanceNorm, LayerNorm, GroupNorm, Dropout,
                               AvgPool2d, MaxPool2d, GlobalAvgPool, GlobalSumPool, Upsample, Downsample, PixelShuffle,
                               LeakyReLU, ReLU, Tanh, Sigmoid, Flatten, Reshape, Basis, Residual>;

std::string suggestion(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? fmt::format("known: {}", fmt::join(known, ", ")) : fmt::format("did you mean '{}'?", near);
}

[[noreturn]] void wrong_type(const LayerSpec& spec, const char* attribute, const char* wanted) {
  throw ConfigError(fmt::format("layer '{}': {} must be {}", spec.type, attribute, wanted));
}

/// Takes the attributes that a layer lists from a spec.
struct Reader {
  const LayerSpec& spec;
  std::vector<std::string> known;

  const Attribute* find(const char* name) {
    known.emplace_back(name);
    for (const auto& [key, value] : spec.attributes)
      if (key == name) return &value;
    return nullptr;
  }

  void operator()(const char* name, bool& member) {
    const Attribute* value = find(name);
    if (!value) return;
    if (!std::holds_alternative<bool>(*value)) wrong_type(spec, name, "true or false");
    member = std::get<bool>(*value);
  }
  void operator()(const char* name, std::int64_t& member) {
    const Attribute* value = find(name);
    if (!value) return;
    if (!std::holds_alternative<std::int64_t>(*value) || std::get<std::int64_t>(*value) < 1)
      wrong_type(spec, name, "a whole number greater than 0");
    member = std::get<std::int64_t>(*value);
  }
  void operator()(const char* name, float& member) {
    const Attribute* value = find(name);
    if (!value) return;
    if (const auto* whole = std::get_if<std::int64_t>(value))
      member = static_cast<float>(*whole);
    else if (const auto* number = std::get_if<float>(value))
      member = *number;
    else
      wrong_type(spec, name, "a number");
    if (!(member >= 0 && member < 1e6f)) wrong_type(spec, name, "a number that is not negative");
  }
  void operator()(const char* name, Initializer& member) {
    const Attribute* value = find(name);
    if (!value) return;
    if (!std::holds_alternative<std::string>(*value)) wrong_type(spec, name, "text such as \"glorot_uniform\"");
    try {
      member = Initializer::parse(std::get<std::string>(*value));
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("layer '{}': {}: {}", spec.type, name, error.what()));
    }
  }
  void operator()(const char* name, std::vector<std::int64_t>& member) {
    const Attribute* value = find(name);
    if (!value) return;
    if (const auto* whole = std::get_if<std::int64_t>(value))
      member = {*whole};
    else if (const auto* list = std::get_if<std::vector<std::int64_t>>(value))
      member = *list;
    else
      wrong_type(spec, name, "a whole number or a list of them");
    for (const std::int64_t extent : member)
      if (extent < 0) wrong_type(spec, name, "made of whole numbers that are not negative");
  }
  void operator()(const char* name, Sequential& member) {
    const Attribute* value = find(name);
    if (!value) return;
    const auto* numbers = std::get_if<std::vector<std::int64_t>>(value);  // an empty list might be one of anything
    const auto* specs = std::get_if<std::vector<LayerSpec>>(value);
    if (!specs && !(numbers && numbers->empty())) wrong_type(spec, name, "a list of layers");
    std::vector<Layer> layers;
    if (specs)
      for (const LayerSpec& layer : *specs) layers.push_back(make_layer(layer));
    member = Sequential(std::move(layers));
  }
};

template <class L>
Layer read_layer(const LayerSpec& spec) {
  L layer;
  Reader reader{spec, {}};
  layer.visit(reader);
  for (const auto& [name, value] : spec.attributes)
    if (std::ranges::find(reader.known, name) == reader.known.end())
      throw ConfigError(fmt::format("layer '{}' has no attribute '{}'; {}", spec.type, name,
                                    reader.known.empty() ? "it takes none" : suggestion(name, reader.known)));
  return layer;
}

}  // namespace

Attribute to_attribute(const Initializer& initial) {
  return initial.str();
}

Attribute to_attribute(const Sequential& layers) {
  return specs_of(layers);
}

Layer make_layer(const LayerSpec& spec) {
  std::optional<Layer> layer;
  std::vector<std::string> known;
  const auto consider = [&]<class L>(std::type_identity<L>) {
    known.emplace_back(L::name);
    if (spec.type == L::name) layer = read_layer<L>(spec);
  };
  [&]<class... L>(std::type_identity<std::tuple<L...>>) {
    (consider(std::type_identity<L>{}), ...);
  }(std::type_identity<KnownLayers>{});
  if (!layer) throw ConfigError(fmt::format("unknown layer '{}'; {}", spec.type, suggestion(spec.type, known)));
  return *layer;
}

std::vector<LayerSpec> specs_of(const Sequential& model) {
  std::vector<LayerSpec> specs;
  for (const Layer& layer : model.layers()) specs.push_back(layer.spec());
  return specs;
}

}  // namespace ganforge
