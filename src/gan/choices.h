// Words and numbers of a TOML file.
#pragma once

#include "src/gan/table_reader.h"

#include <cstddef>
#include <utility>

namespace ganforge {

template <class T, std::size_t n>
std::vector<std::string> words(const std::pair<const char*, T> (&choices)[n]) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.emplace_back(word);
  return words;
}

template <class T, std::size_t n>
T value_of(const std::string& word, const char* key, const std::pair<const char*, T> (&choices)[n]) {
  for (const auto& [known, value] : choices)
    if (word == known) return value;
  throw ConfigError(fmt::format("{} must be one of {}", key, fmt::join(words(choices), ", ")));
}

template <class T, std::size_t n>
void read_choice(TableReader& reader, const char* key, const std::pair<const char*, T> (&choices)[n], T& member) {
  const toml::node* node = reader.find(key);
  if (!node) return;
  try {
    member = value_of(node->value_or(std::string()), key, choices);
  } catch (const ConfigError& error) {
    reader.fail(*node, error.what());
  }
}

template <class T, std::size_t n>
const char* word_for(const std::pair<const char*, T> (&choices)[n], T value) {
  for (const auto& [word, known] : choices)
    if (known == value) return word;
  return "?";
}

/// A number that TOML reads as a float.
inline std::string toml_number(float value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

/// In quotes, with escapes.
std::string toml_text(const std::string& text);

}  // namespace ganforge
