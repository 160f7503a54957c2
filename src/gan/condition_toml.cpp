#include "src/gan/condition_toml.h"

#include "src/gan/choices.h"

#include <cmath>

namespace ganforge {

void read_conditions(TableReader& parent, const std::string& source, Config& config) {
  if (const toml::node* node = parent.find("classes")) {
    constexpr auto wanted = "classes must be a list of names";
    const toml::array* array = node->as_array();
    if (!array) parent.fail(*node, wanted);
    config.classes.clear();
    for (const toml::node& element : *array) {
      const auto name = element.value_exact<std::string>();
      if (!name) parent.fail(element, wanted);
      config.classes.push_back(*name);
    }
  }
  parent.read("classification_weight", config.training.classification_weight);
  const toml::node* node = parent.find("codes");
  if (!node) return;
  if (!node->is_table()) parent.fail(*node, "codes must be a table");
  CodeOptions& codes = config.training.codes;
  TableReader reader(*node->as_table(), "codes", source);
  reader.read("categories", codes.categories);
  reader.read("continuous", codes.continuous);
  reader.read("category_weight", codes.category_weight);
  reader.read("continuous_weight", codes.continuous_weight);
  reader.finish();
}

std::string toml_classes(const Config& config) {
  std::string text = fmt::format("classification_weight = {}\n", toml_number(config.training.classification_weight));
  if (config.classes.empty()) return text;
  std::vector<std::string> names;
  for (const std::string& name : config.classes) names.push_back(toml_text(name));
  return text + fmt::format("classes = [{}]\n", fmt::join(names, ", "));
}

std::string toml_codes(const CodeOptions& codes) {
  if (codes.size() == 0) return {};
  return fmt::format("\n[codes]\ncategories = {}\ncontinuous = {}\ncategory_weight = {}\ncontinuous_weight = {}\n",
                     codes.categories, codes.continuous, toml_number(codes.category_weight),
                     toml_number(codes.continuous_weight));
}

void validate_conditions(const TrainerOptions& options) {
  const auto check = [](bool ok, const char* key, const char* wanted, auto got) {
    if (!ok) throw ConfigError(fmt::format("{} must be {}, got {}", key, wanted, got));
  };
  const CodeOptions& codes = options.codes;
  const auto check_weight = [&](const char* key, float weight, bool zero) {
    check(std::isfinite(weight) && (zero ? weight >= 0 : weight > 0), key, zero ? "0 or more" : "above 0", weight);
  };
  check_weight("classification_weight", options.classification_weight, true);
  check(codes.categories >= 0 && codes.categories <= 100'000, "codes.categories", "from 0 (none) to 100000",
        codes.categories);
  check(codes.continuous >= 0 && codes.continuous <= 100'000, "codes.continuous", "from 0 (none) to 100000",
        codes.continuous);
  check_weight("codes.category_weight", codes.category_weight, codes.categories == 0);
  check_weight("codes.continuous_weight", codes.continuous_weight, codes.continuous == 0);
  check(codes.size() == 0 || options.latent.shape.rank() == 1, "latent.shape", "one number with codes",
        options.latent.shape.str());
}

}  // namespace ganforge
