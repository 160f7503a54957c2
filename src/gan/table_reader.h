// Reading a table of a TOML file key by key, with the place in every complaint.
#pragma once

#include "src/core/nearest.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace ganforge {

/// Takes the keys of a table one by one and complains about what is left.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string where, const std::string& source)
      : table_(table), where_(std::move(where)), source_(source) {}

  [[noreturn]] void fail(const toml::node& node, const std::string& what) const {
    const auto& begin = node.source().begin;
    throw ConfigError(fmt::format("{}:{}:{}: {}", source_, begin.line, begin.column, what));
  }

  void read(const char* key, bool& member) { read_as<bool>(key, member, "true or false"); }
  void read(const char* key, std::string& member) { read_as<std::string>(key, member, "text"); }
  void read(const char* key, std::int64_t& member) { read_as<std::int64_t>(key, member, "a whole number"); }
  void read(const char* key, int& member) {
    std::int64_t wide = member;
    read(key, wide);
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max())
      fail(*table_.get(key), path(key) + " is out of range");
    member = static_cast<int>(wide);
  }
  void read(const char* key, std::uint64_t& member) {
    const toml::node* node = find(key);
    if (!node) return;
    const auto value = node->value_exact<std::int64_t>();
    if (!value || *value < 0) fail(*node, path(key) + " must be a whole number that is not negative");
    member = static_cast<std::uint64_t>(*value);
  }
  void read(const char* key, float& member) {
    const toml::node* node = find(key);
    if (!node) return;
    const auto value = node->value<double>();
    if (!value) fail(*node, path(key) + " must be a number");
    member = static_cast<float>(*value);
  }
  const toml::node* find(const char* key) {
    known_.emplace_back(key);
    return table_.get(key);
  }
  std::string path(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }

  void finish() const {
    for (const auto& [key, node] : table_) {
      const std::string name(key.str());
      if (std::ranges::find(known_, name) != known_.end()) continue;
      const std::string near = nearest(name, known_);
      const auto& begin = key.source().begin;
      throw ConfigError(fmt::format("{}:{}:{}: unknown key '{}'; {}", source_, begin.line, begin.column, path(name),
                                    near.empty() ? fmt::format("known here: {}", fmt::join(known_, ", "))
                                                 : fmt::format("did you mean '{}'?", near)));
    }
  }

 private:
  template <class T, class Member>
  void read_as(const char* key, Member& member, const char* wanted) {
    const toml::node* node = find(key);
    if (!node) return;
    const auto value = node->value_exact<T>();
    if (!value) fail(*node, fmt::format("{} must be {}", path(key), wanted));
    member = *value;
  }

  const toml::table& table_;
  std::string where_;
  const std::string& source_;
  std::vector<std::string> known_;
};

}  // namespace ganforge
