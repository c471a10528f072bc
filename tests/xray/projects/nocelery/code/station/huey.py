from huey import RedisHuey

line = RedisHuey("station")
