select epoch from service
