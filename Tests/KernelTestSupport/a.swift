import Steering
