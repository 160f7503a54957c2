#include <ganforge/error.h>
#include <ganforge/store.h>

#include <fmt/format.h>

namespace ganforge {

Variable& VariableStore::variable(const std::string& name, Type type, bool saved) {
  if (Variable* found = find(name)) {
    if (found->type != type)
      throw ShapeError(fmt::format("variable {} is {}, asked for as {}", name, found->type.str(), type.str()));
    return *found;
  }
  Variable variable{name, type, device_->allocate(type.bytes()), saved};
  return variables_.emplace_back(std::move(variable));
}

Variable* VariableStore::find(const std::string& name) {
  for (Variable& variable : variables_)
    if (variable.name == name) return &variable;
  return nullptr;
}

void VariableStore::upload(Variable& variable, const void* values) {
  device_->upload(variable.data(), values, variable.type.bytes());
  ++variable.times_written;
}

void VariableStore::download(const Variable& variable, void* values) {
  device_->download(values, variable.data(), variable.type.bytes());
}

}  // namespace ganforge
