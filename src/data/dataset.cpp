// Samples on the device.
#include <ganforge/data.h>

namespace ganforge {

Dataset::Dataset(Device& device, HostDataset data)
    : name_(std::move(data.name)), sample_(data.sample), classes_(std::move(data.classes)) {
  std::vector<std::int64_t> extents = {data.count};
  extents.insert(extents.end(), sample_.extents().begin(), sample_.extents().end());
  const Type images{data.type, Shape(extents)};
  images_ = std::make_unique<Variable>(Variable{"data/images", images, device.allocate(images.bytes()), false});
  device.upload(images_->data(), data.pixels.data(), images.bytes());
  if (data.labels.empty()) return;
  const Type labels{DType::int32, {data.count}};
  labels_ = std::make_unique<Variable>(Variable{"data/labels", labels, device.allocate(labels.bytes()), false});
  device.upload(labels_->data(), data.labels.data(), labels.bytes());
}

Dataset load_dataset(const std::string& name_or_path, Device& device) {
  return {device, find_dataset(name_or_path)};
}

}  // namespace ganforge
