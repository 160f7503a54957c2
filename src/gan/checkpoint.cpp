// Checkpoints of a trainer: every saved variable by its name.
#include "src/gan/checkpoint.h"

#include "src/data/safetensors.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>

namespace ganforge {

void write_variables(const std::filesystem::path& path, VariableStore& store,
                     const std::function<bool(const Variable&)>& wanted,
                     const std::map<std::string, std::string>& metadata) {
  std::vector<std::vector<std::byte>> host;
  std::vector<TensorSource> tensors;
  for (const Variable& variable : store.variables()) {
    if (!wanted(variable)) continue;
    host.emplace_back(variable.type.bytes());
    store.download(variable, host.back().data());
    tensors.push_back({variable.name, variable.type, host.back().data()});
  }
  write_safetensors(path, tensors, metadata);
}

void Trainer::save(const std::filesystem::path& path, std::map<std::string, std::string> metadata) {
  metadata["ganforge.version"] = GANFORGE_VERSION;
  metadata["step"] = std::to_string(step_);
  if (!classes_.empty()) metadata["classes"] = std::to_string(classes_.size());
  write_variables(path, store_, &Variable::saved, metadata);
}

std::map<std::string, std::string> Trainer::load(const std::filesystem::path& path) {
  const Safetensors file = read_safetensors(path);
  const auto other_model = [&](const std::string& what) {
    return FormatError(fmt::format("{}: a checkpoint of another model: {}", path.string(), what));
  };
  if (const auto found = file.metadata.find("classes"); found != file.metadata.end() && !classes_.empty())
    if (const std::string own = std::to_string(classes_.size()); found->second != own)
      throw other_model(fmt::format("it was trained on {} classes, this model's data have {}", found->second, own));
  std::size_t wanted = 0;
  for (const Variable& variable : store_.variables()) {
    if (!variable.saved) continue;
    ++wanted;
    const Safetensors::Tensor* tensor = file.find(variable.name);
    if (!tensor) throw other_model(fmt::format("it has no {}", variable.name));
    if (tensor->type != variable.type)
      throw other_model(
          fmt::format("its {} is {}, this model's is {}", variable.name, tensor->type.str(), variable.type.str()));
  }
  if (wanted != file.tensors.size())
    for (const Safetensors::Tensor& tensor : file.tensors)
      if (!store_.find(tensor.name)) throw other_model(fmt::format("this model has no {}", tensor.name));
  // All of it fits: only now is anything changed.
  for (Variable& variable : store_.variables())
    if (variable.saved) store_.upload(variable, file.data(*file.find(variable.name)));
  std::int64_t tick = 0;
  store_.download(*store_.find(tick_variable), &tick);
  step_ = tick;
  return file.metadata;
}

}  // namespace ganforge
