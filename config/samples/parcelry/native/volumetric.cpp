#include "volumetric.hpp"

#include <cstdlib>

namespace beltscale {

long boxVolume(const BeltBox& box) {
    if (box.length <= 0 || box.width <= 0 || box.height <= 0) {
        throw BeltRejection("box has a flat side");
    }
    return static_cast<long>(box.length) * box.width * box.height;
}

long RoadWeigher::weighBox(const BeltBox& box) const {
    return boxVolume(box) * 1000 / kDivisorRoad;
}

long AirWeigher::weighBox(const BeltBox& box) const {
    return boxVolume(box) * 1000 / kDivisorAir;
}

std::string beltName() {
    const char* name = std::getenv("PARCELRY_BELT_NAME");
    return name == nullptr ? "belt-1" : name;
}

}  // namespace beltscale
