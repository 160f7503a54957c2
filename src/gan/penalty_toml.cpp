#include "src/gan/penalty_toml.h"

#include "src/gan/choices.h"

#include <cmath>
#include <set>

namespace ganforge {
namespace {

constexpr std::pair<const char*, Schedule::Kind> decay_kinds[] = {{"constant", Schedule::Kind::constant},
                                                                  {"linear", Schedule::Kind::linear},
                                                                  {"cosine", Schedule::Kind::cosine},
                                                                  {"step", Schedule::Kind::step}};
constexpr std::pair<const char*, Penalty::Kind> penalty_kinds[] = {{"r1", Penalty::Kind::r1},
                                                                   {"r2", Penalty::Kind::r2},
                                                                   {"gp", Penalty::Kind::gp},
                                                                   {"dragan", Penalty::Kind::dragan},
                                                                   {"consistency", Penalty::Kind::consistency}};

}  // namespace

void read_decay(TableReader& parent, const char* key, const std::string& source, Decay& decay) {
  const toml::node* node = parent.find(key);
  if (!node) return;
  const std::string path = parent.path(key);
  if (!node->is_table()) parent.fail(*node, path + " must be a table: { kind = \"cosine\", to = 1e-4 }");
  TableReader reader(*node->as_table(), path, source);
  decay = {};
  read_choice(reader, "kind", decay_kinds, decay.kind);
  reader.read("to", decay.to);
  reader.read("begin", decay.begin);
  reader.read("end", decay.end);
  reader.read("images", decay.images);
  reader.finish();
}

std::string toml_decay(const char* key, const Decay& decay) {
  if (decay.kind == Schedule::Kind::constant) return {};
  return fmt::format("{} = {{ kind = \"{}\", to = {}, begin = {}, {} }}\n", key, word_for(decay_kinds, decay.kind),
                     toml_number(decay.to), decay.begin,
                     decay.images > 0 ? fmt::format("images = {}", decay.images) : fmt::format("end = {}", decay.end));
}

void validate_decay(const std::string& key, const Decay& decay) {
  if (decay.kind == Schedule::Kind::constant) return;
  if (!std::isfinite(decay.to) || decay.to < 0)
    throw ConfigError(fmt::format("{}.to must be a number that is not negative, got {}", key, decay.to));
  if (decay.begin < 0) throw ConfigError(fmt::format("{}.begin must be 0 or more, got {}", key, decay.begin));
  if (decay.images < 0) throw ConfigError(fmt::format("{}.images must be 0 or more, got {}", key, decay.images));
  if (decay.images > 0 && decay.end > 0)
    throw ConfigError(fmt::format("{}.images must be absent where end is given, got {}", key, decay.images));
  const bool span = decay.kind != Schedule::Kind::step && decay.end != 0;
  if (span && decay.end <= decay.begin)
    throw ConfigError(
        fmt::format("{}.end must be behind begin {}, or 0 for the last step, got {}", key, decay.begin, decay.end));
}

void read_penalties(TableReader& parent, const std::string& source, std::vector<Penalty>& penalties) {
  const toml::node* node = parent.find("penalty");
  if (!node) return;
  const toml::array* array = node->as_array();
  if (!array || (!array->empty() && !array->is_array_of_tables()))
    parent.fail(*node, "penalty must be a list: [[penalty]] with a type each, or [] for none");
  penalties.clear();
  for (const toml::node& element : *array) {
    TableReader reader(*element.as_table(), "penalty", source);
    Penalty penalty;
    if (!reader.find("type")) reader.fail(element, "a penalty has no type");
    read_choice(reader, "type", penalty_kinds, penalty.kind);
    reader.read("weight", penalty.weight);
    read_decay(reader, "decay", source, penalty.decay);
    reader.read("interval", penalty.interval);
    reader.finish();
    penalties.push_back(penalty);
  }
}

std::string toml_penalties(const std::vector<Penalty>& penalties) {
  std::string text;
  for (const Penalty& p : penalties)
    text += fmt::format("\n[[penalty]]\ntype = \"{}\"\nweight = {}\n{}interval = {}\n", word_for(penalty_kinds, p.kind),
                        toml_number(p.weight), toml_decay("decay", p.decay), p.interval);
  return text;
}

void validate(const std::vector<Penalty>& penalties) {
  std::set<Penalty::Kind> kinds;
  std::set<int> intervals;
  for (const Penalty& p : penalties) {
    const std::string key = fmt::format("penalty {}", word_for(penalty_kinds, p.kind));
    if (!kinds.insert(p.kind).second) throw ConfigError(key + " is there twice");
    if (!std::isfinite(p.weight) || p.weight <= 0)
      throw ConfigError(fmt::format("{}.weight must be a number above 0, got {}", key, p.weight));
    if (p.interval < 1) throw ConfigError(fmt::format("{}.interval must be 1 or more, got {}", key, p.interval));
    if (p.interval > 1 && intervals.insert(p.interval).second && intervals.size() > 1)
      throw ConfigError(fmt::format("{}.interval is {}, another penalty's {}: intervals above 1 must agree", key,
                                    p.interval,
                                    p.interval == *intervals.begin() ? *intervals.rbegin() : *intervals.begin()));
    validate_decay(key + ".decay", p.decay);
  }
}

}  // namespace ganforge
