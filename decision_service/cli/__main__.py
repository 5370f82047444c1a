from decision_service.cli import main

main()
