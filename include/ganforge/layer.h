// What a layer is, layers one after another, and layers as data.
#pragma once

#include <ganforge/nn.h>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ganforge {

struct LayerSpec;
/// The last are layers within a layer, in order.
using Attribute =
    std::variant<bool, std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<LayerSpec>>;
/// A layer as data: its type and attributes, as they stand in a model file.
struct LayerSpec {
  std::string type;
  std::vector<std::pair<std::string, Attribute>> attributes;
};

/// Any layer of layers.h, or one of your own with the same members.
class Layer {
 public:
  template <class L>
  Layer(L layer) : self_(std::make_shared<const Holder<L>>(std::move(layer))) {}

  const char* type() const { return self_->type(); }
  LayerSpec spec() const { return self_->spec(); }
  /// What the layer does if it is an activation and nothing else.
  std::optional<Activation> activation() const { return self_->activation(); }
  /// It can apply the activation that follows it in the same pass.
  bool fuses_activation() const { return self_->fuses_activation(); }
  Value apply(Context& context, Value x, const Activation& activation) const {
    return self_->apply(context, x, activation);
  }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual const char* type() const = 0;
    virtual LayerSpec spec() const = 0;
    virtual std::optional<Activation> activation() const = 0;
    virtual bool fuses_activation() const = 0;
    virtual Value apply(Context& context, Value x, const Activation& activation) const = 0;
  };
  template <class L>
  struct Holder;
  std::shared_ptr<const Concept> self_;
};

class Sequential;
Attribute to_attribute(const Initializer& initial);
Attribute to_attribute(const Sequential& layers);
template <class T>
requires std::constructible_from<Attribute, T> Attribute to_attribute(const T& value) {
  return value;
}

template <class L>
struct Layer::Holder final : Layer::Concept {
  static constexpr bool fuses = requires(const L& l, Context& c, Value x, Activation a) { l(c, x, a); };
  static constexpr bool is_activation = requires(const L& l) { l.activation(); };

  explicit Holder(L l) : layer(std::move(l)) {}
  const char* type() const override { return L::name; }
  LayerSpec spec() const override {
    LayerSpec spec{L::name, {}};
    L copy = layer;
    copy.visit([&](const char* name, const auto& member) { spec.attributes.emplace_back(name, to_attribute(member)); });
    return spec;
  }
  std::optional<Activation> activation() const override {
    if constexpr (is_activation)
      return layer.activation();
    else
      return std::nullopt;
  }
  bool fuses_activation() const override { return fuses; }
  Value apply(Context& context, Value x, const Activation& after) const override {
    if constexpr (fuses)
      return layer(context, x, after);
    else if constexpr (is_activation)
      return activate(activate(x, layer.activation()), after);
    else
      return activate(layer(context, x), after);
  }

  L layer;
};

/// Layers one after another.
class Sequential {
 public:
  Sequential() = default;
  Sequential(std::initializer_list<Layer> layers) : layers_(layers) {}
  explicit Sequential(std::vector<Layer> layers) : layers_(std::move(layers)) {}

  Value operator()(Context& context, Value x) const;
  const std::vector<Layer>& layers() const { return layers_; }
  /// The activation that the output has passed; none if the last layer that does more than reshaping is no activation.
  Activation output_activation() const;

 private:
  std::vector<Layer> layers_;
};

std::vector<LayerSpec> specs_of(const Sequential& model);
/// Throws ConfigError for an unknown type or attribute (with the nearest name) or a value of the wrong type or range.
Layer make_layer(const LayerSpec& spec);

}  // namespace ganforge
